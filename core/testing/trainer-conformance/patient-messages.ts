import type { ClientReadableStream } from '@grpc/grpc-js';
import { messagesOf } from '../../process/grpc-call.js';

/**
 * The messages of a stream, which may keep its reader waiting for so many seconds in all: what the reader does between
 * two of them takes none of it. Left early, it is canceled.
 */
export async function* patientMessages<Message>(
  call: ClientReadableStream<Message>,
  seconds: number,
): AsyncGenerator<Message> {
  const late = new AbortController();
  const messages = messagesOf(call, { signal: late.signal });
  let left = seconds * 1000;
  try {
    for (;;) {
      const asked = performance.now();
      const timer = setTimeout(() => {
        late.abort(new Error(`the stream did not come to its end within ${seconds} seconds`));
      }, left);
      const next = await messages.next().finally(() => clearTimeout(timer));
      if (next.done === true) return;
      left -= performance.now() - asked;
      yield next.value;
    }
  } finally {
    await messages.return(undefined);
  }
}
