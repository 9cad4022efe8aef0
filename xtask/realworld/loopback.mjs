// Loaded before a server that would listen on every interface: it listens on loopback only.
import { Server } from 'node:net';

const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  return typeof port === 'object' ? listen.call(this, { ...port, host: '127.0.0.1' }, ...rest)
    : listen.call(this, { port: Number(port), host: '127.0.0.1' }, ...rest);
};
