// What a client made with a TypeScript SDK tries, whichever line of the SDK it is made with.
export const URI = 'demo://resource/dynamic/text/1';
export const SAMPLE = { model: 'weir', role: 'assistant', content: { type: 'text', text: 'sampled by the client' } };
export const ELICITED = { action: 'accept', content: { name: 'a weir' } };
const PATIENCE = 10_000;

const within = (work, ms = PATIENCE) => {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`nothing within ${ms / 1000} s`)), ms); });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};
const text = (result) => (result.content ?? []).map((part) => part.text ?? '').join(' ');
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
class Absent extends Error {}

// `sdk` has: call(name, arguments, options), list(), updates (a hook), subscribe(uri) -> a way to end it.
export async function run(sdk, prefix, wanted, said) {
  let names = [];
  const tool = (name) => {
    if (!names.includes(prefix + name)) throw new Absent(`the server has no tool \`${name}\``);
    return prefix + name;
  };
  const expect = (seen, part) => {
    if (!seen.includes(part)) throw new Error(`${JSON.stringify(part)} does not stand in ${JSON.stringify(seen)}`);
  };
  const steps = {
    async list() {
      // A gateway that has just been started lists what is there by then, and tells when there is more.
      while (names.length === 0) {
        names = await sdk.list();
        if (names.length === 0) await pause(100);
      }
      said.tools = names;
    },
    async call() {
      said.text = text(await sdk.call(tool('echo'), { message: `from ${sdk.name}` }));
      expect(said.text, `from ${sdk.name}`);
    },
    async progress() {
      const steps = [];
      const onprogress = ({ progress }) => { steps.push(progress); };
      await sdk.call(tool('trigger-long-running-operation'), { duration: 0.4, steps: 4 }, { onprogress });
      // The SDK forgets the callback before it hands out what came right before the result.
      if (!['1,2,3,4', '1,2,3'].includes(steps.join())) throw new Error(`progress ${steps.join() || 'never came'}`);
    },
    async cancel() {
      const count = async () => Number(text(await sdk.call(tool('count-cancelled'), {})));
      const before = await count();
      const gone = new AbortController();
      const options = { signal: gone.signal, onprogress: () => { gone.abort('no longer wanted'); } };
      const ended = sdk.call(tool('trigger-long-running-operation'), { duration: 20, steps: 100 }, options)
        .then(() => 'it was answered', () => undefined);
      const wrong = await ended;
      if (wrong) throw new Error(wrong);
      while (await count() <= before) await pause(50);
    },
    async sampling() {
      const params = { prompt: 'who?', maxTokens: 10 };
      expect(text(await sdk.call(tool('trigger-sampling-request'), params)), SAMPLE.content.text);
    },
    async elicitation() {
      expect(text(await sdk.call(tool('trigger-elicitation-request'), {})), 'a weir');
    },
    async subscribe() {
      const toggle = tool('toggle-subscriber-updates');
      const updated = new Promise((resolve) => { sdk.updated = resolve; });
      const end = await sdk.subscribe(URI);
      await sdk.call(toggle, {});
      const uri = await updated;
      if (uri !== URI) throw new Error(`${uri} was updated`);
      await sdk.call(toggle, {});
      await end();
    },
  };
  said.steps = {};
  for (const name of wanted) {
    try {
      await within(name === 'initialise' ? sdk.connect() : steps[name]());
      said.steps[name] = { is: 'ok' };
    } catch (error) {
      said.steps[name] = { is: error instanceof Absent ? 'absent' : 'failed', detail: String(error?.message ?? error) };
    }
    if (name === 'initialise' && said.steps[name].is !== 'ok') break;
  }
}
