import { open } from 'node:fs/promises';
import { Client, credentials, Metadata, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { WatchRequest } from '../../core/generated/simmer/trainer/v1/trainer.js';

/**
 * The peer: a process with grpc-js and nothing else that takes the batches of a sender, appends them to a file, syncs as
 * many of them at once as have come meanwhile, and passes on what is durable. It looks at nothing.
 */
const [sender = '', address = '', file = ''] = process.argv.slice(2);
const pass = (bytes: Buffer) => bytes;

async function relay(call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
  const client = new Client(sender, credentials.createInsecure(), { 'grpc.max_receive_message_length': 64 * 2 ** 20 });
  const request = { attemptId: 'bench', afterEventNumber: 0n };
  const encode = (value: WatchRequest) => Buffer.from(WatchRequest.encode(value).finish());
  const source = client.makeServerStreamRequest(
    '/simmer.trainer.v1.TrainerService/Watch',
    encode,
    pass,
    request,
    new Metadata(),
  );
  await using log = await open(file, 'w');
  const pending: Buffer[] = [];
  let isDone = false;
  let wake: () => void = () => undefined;
  const writing = (async () => {
    while (!isDone || pending.length > 0) {
      const group = pending.splice(0);
      if (group.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      await log.writev(group);
      await log.datasync();
      for (const batch of group) {
        if (!call.write(batch)) await new Promise((resolve) => call.once('drain', resolve));
      }
    }
  })();
  for await (const batch of source as AsyncIterable<Buffer>) {
    pending.push(batch);
    wake();
    // As many as the core lets wait for the disk.
    while (pending.length >= 16) await new Promise((resolve) => setImmediate(resolve));
  }
  isDone = true;
  wake();
  await writing;
  call.end();
  client.close();
}

const server = new Server();
const watch = {
  path: '/bench.Relay/Watch',
  requestStream: false,
  responseStream: true,
  requestSerialize: pass,
  requestDeserialize: pass,
  responseSerialize: pass,
  responseDeserialize: pass,
} as const;
server.addService({ watch }, { watch: relay });
server.bindAsync(address, ServerCredentials.createInsecure(), () => process.stdout.write('ready\n'));
