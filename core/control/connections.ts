import { createServer, type Server as NetServer, type Socket } from 'node:net';
import type { ServerLimits } from './limits.js';

type ConnectionLimits = Pick<ServerLimits, 'connections' | 'handshakeMilliseconds'>;

/**
 * The connections of a server: their number is bounded, and one that says nothing is closed. Where there are too many, one
 * more takes the place of the oldest over TCP of which no call was let in, so that strangers keep no client out.
 */
export class Connections {
  readonly listener: NetServer;
  readonly #limits: ConnectionLimits;
  readonly #open = new Set<Socket>();
  /** Over TCP, by their peers: those of which no call was let in yet, the oldest first. */
  readonly #strangers = new Map<string, Socket>();

  /** @param take speaks HTTP/2 on a connection */
  constructor(take: (socket: Socket) => void, limits: ConnectionLimits) {
    this.#limits = limits;
    this.listener = createServer({ noDelay: true }, (socket) => {
      if (!this.#hasRoom()) {
        socket.destroy();
        return;
      }
      this.#keep(socket);
      this.#closeIfSilent(socket);
      take(socket);
    });
  }

  /** How many are open now. */
  get size(): number {
    return this.#open.size;
  }

  /** Has the connection of a call stay, since the call has a token. @param peer as gRPC names it: ADDRESS:PORT */
  letIn(peer: string): void {
    this.#strangers.delete(peer);
  }

  /** Resolves when those that are open now are closed, by whichever side. */
  async closed(): Promise<void> {
    await Promise.all([...this.#open].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  }

  closeAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #hasRoom(): boolean {
    if (this.#open.size < this.#limits.connections) return true;
    const [oldest] = this.#strangers;
    if (oldest === undefined) return false;
    const [peer, socket] = oldest;
    this.#strangers.delete(peer);
    this.#open.delete(socket);
    socket.destroy();
    return true;
  }

  #keep(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    const peer = remotePort === undefined ? undefined : `${remoteAddress}:${remotePort}`;
    this.#open.add(socket);
    if (peer !== undefined) this.#strangers.set(peer, socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      // Its port may be that of another one by now.
      if (peer !== undefined && this.#strangers.get(peer) === socket) this.#strangers.delete(peer);
    });
    socket.on('error', () => socket.destroy());
  }

  #closeIfSilent(socket: Socket): void {
    const { handshakeMilliseconds } = this.#limits;
    const silence = setTimeout(() => socket.destroy(), handshakeMilliseconds);
    const settle = () => clearTimeout(silence);
    socket.once('close', settle);
    // Whoever has sent more than a client's preface (24 bytes) and its first frame has begun to speak.
    const look = setInterval(
      () => {
        if (socket.bytesRead <= 24 + 9) return;
        settle();
        clearInterval(look);
      },
      Math.max(10, handshakeMilliseconds / 10),
    );
    look.unref();
    socket.once('close', () => clearInterval(look));
  }
}
