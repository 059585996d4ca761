import { createHash, timingSafeEqual } from 'node:crypto';
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { startOf } from '../shortened-text.js';

/** Refuses every call without the token, health and reflection too. */
export function requireToken(token: string): ServerInterceptor {
  const known = new KnownTokens([token]);
  return answering(({ metadata }) =>
    known.has(metadata) ? undefined : { code: status.UNAUTHENTICATED, details: 'no token, or a wrong one' },
  );
}

/** The tokens that a server takes now. */
export class KnownTokens {
  #expected: readonly Buffer[] = [];

  constructor(tokens: readonly string[]) {
    this.replace(tokens);
  }

  /** From now on these, and no others; calls that were let in go on. */
  replace(tokens: readonly string[]): void {
    this.#expected = tokens.map((token) => digest(`Bearer ${token}`));
  }

  /** Whether a call has one of them. */
  has(metadata: Metadata): boolean {
    const [given] = metadata.get('authorization');
    const said = typeof given === 'string' ? digest(given) : undefined;
    // Digests have one length, so that comparing tells nothing of a token, not even how long it is; nor which it was.
    const matches = said === undefined ? [] : this.#expected.filter((each) => timingSafeEqual(said, each));
    return matches.length > 0;
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

interface Asked {
  readonly metadata: Metadata;
  readonly peer: string;
  /** Of the method, e.g. "/simmer.control.v1.ControlService/ListRuns". */
  readonly path: string;
}

/** Of what a call ends with: the health service quotes there whatever was asked for, and trailers of more than 8 KiB may never arrive. */
const longestDetails = 480;

/** How a call ends before its handler sees it. */
type Answer = Pick<StatusObject, 'code' | 'details'> & Partial<StatusObject>;

/** An interceptor that ends a call before its message is looked at, where the check gives an answer. */
export function answering(check: (asked: Asked) => Answer | undefined): ServerInterceptor {
  return ({ path }, call: ServerInterceptingCallInterface) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            const answer = check({ metadata, peer: call.getPeer(), path });
            if (answer === undefined) pass(metadata);
            else call.sendStatus(answer);
          },
        });
      },
      sendStatus: (end, next) => next({ ...end, details: startOf(end.details, longestDetails) }),
    });
}
