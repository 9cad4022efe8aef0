//! Which rules there are, and where each stands with each server.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rule::{Phase, Rule};

/// The rules that hold; others may take their place while alerts are active.
pub(crate) struct Rules {
    held: Vec<Held>,
    phases: HashMap<(usize, u32), Phase>,
    next: usize,
}

/// One of them, by a number that no other ever had.
pub(crate) struct Held {
    pub(crate) id: usize,
    pub(crate) name: Arc<str>,
    pub(crate) rule: Rule,
}

impl Rules {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let mut all = Self { held: Vec::new(), phases: HashMap::new(), next: 0 };
        all.replace(rules);
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Every rule with what it takes to step it: where it stands with a server, by the server's number.
    pub(crate) fn each(&mut self) -> (&[Held], &mut HashMap<(usize, u32), Phase>) {
        (&self.held, &mut self.phases)
    }

    /// Takes others. One that is exactly as before stands where it stood; of those that are gone, gives what they had
    /// raised, by rule and server.
    pub(crate) fn replace(&mut self, rules: Vec<Rule>) -> Vec<(usize, u32)> {
        let mut before = std::mem::take(&mut self.held);
        for rule in rules {
            let same = before.iter().position(|held| held.rule == rule);
            let held = same.map(|at| before.remove(at)).unwrap_or_else(|| {
                let id = self.next;
                self.next += 1;
                Held { id, name: Arc::from(&*rule.name), rule }
            });
            self.held.push(held);
        }
        let is_gone = |id: usize| before.iter().any(|held| held.id == id);
        let mut over = Vec::new();
        self.phases.retain(|key, phase| {
            let gone = is_gone(key.0);
            over.extend((gone && *phase == Phase::Firing).then_some(*key));
            !gone
        });
        over.sort_unstable();
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Severity;
    use crate::rule::Condition;
    use crate::window::Window;

    fn rule(name: &str, above: f64) -> Rule {
        let condition = Condition::ErrorRate { window: Window::Minute, above };
        Rule::new(name, Severity::Warning, condition)
    }

    #[test]
    fn what_did_not_change_stands_where_it_stood() {
        let mut rules = Rules::new(vec![rule("a", 0.1), rule("b", 0.1), rule("c", 0.1)]);
        for id in 0..3 {
            rules.phases.insert((id, 7), Phase::Firing);
        }
        rules.phases.insert((1, 8), Phase::Calm);
        let over = rules.replace(vec![rule("c", 0.1), rule("b", 0.2), rule("d", 0.1)]);
        assert_eq!(over, [(0, 7), (1, 7)], "`a` is gone, `b` is another");
        assert_eq!(rules.phases, HashMap::from([((2, 7), Phase::Firing)]));
        let ids: Vec<_> = rules.held.iter().map(|held| (&*held.name, held.id)).collect();
        assert_eq!(ids, [("c", 2), ("b", 3), ("d", 4)], "no number is given twice");
    }

    #[test]
    fn two_equal_rules_are_two() {
        let mut rules = Rules::new(vec![rule("a", 0.1), rule("a", 0.1)]);
        rules.phases.extend([((0, 1), Phase::Firing), ((1, 1), Phase::Firing)]);
        assert_eq!(rules.replace(vec![rule("a", 0.1)]), [(1, 1)]);
    }
}
