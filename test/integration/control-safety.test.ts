import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ChannelCredentials, Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { readToken, readTokens } from '../../core/control/access.js';
import { parseAddress } from '../../core/control/address.js';
import { ControlClient } from '../../core/control/control-client.js';
import { ControlServer, controlServiceName } from '../../core/control/control-server.js';
import { redacted, redactor } from '../../core/events/redaction.js';
import { checkHealth } from '../../core/process/grpc-health.js';
import { ControlHarness, curation, recipeText, type ServerOptions } from './control-harness.js';

let open: ControlHarness | undefined;
afterEach(async () => {
  await open?.[Symbol.asyncDispose]();
  open = undefined;
});

async function start(options: ServerOptions = {}): Promise<ControlHarness> {
  open = await ControlHarness.start(options);
  return open;
}

const token = 'a-token-that-is-long-enough';
const tcp = { address: parseAddress('127.0.0.1:0'), token };

const settingsIn = (folder: string, home: string) => ({
  home: join(folder, home),
  cacheFolder: folder,
  resources: { cpus: 1, memoryBytes: 1, gpus: 0 },
  sources: {},
});

/** The server still answers: what was done to it did it no harm. */
async function expectServing(harness: ControlHarness): Promise<void> {
  expect((await harness.client.describeServer()).version).toMatch(/^\d/);
}

describe('a server on TCP', () => {
  it('needs a token, and TLS where others could listen in', async () => {
    await expect(start({ address: tcp.address })).rejects.toMatchObject({ code: 'token_needed' });
    await expect(start({ ...tcp, address: parseAddress('0.0.0.0:0') })).rejects.toMatchObject({ code: 'tls_needed' });
  });

  it.each([undefined, 'a-token-that-is-long-enougg', 'x', `${token}${token}`])(
    'refuses the token %s',
    async (wrong) => {
      const harness = await start(tcp);
      const { address } = harness.server;
      using client = await ControlClient.open({ address, ...(wrong === undefined ? {} : { token: wrong }) });
      await expect(client.describeServer()).rejects.toMatchObject({ code: 'unauthenticated' });
      await expect(client.createRun({ requestId: 'x', recipe: recipeText(curation) })).rejects.toMatchObject({
        code: 'unauthenticated',
      });
      await expectServing(harness);
    },
  );

  it('tells a client how to give the token, by the option that is the client’s', async () => {
    const { server } = await start(tcp);
    using client = await ControlClient.open({ address: server.address });
    await expect(client.describeServer()).rejects.toMatchObject({
      hint: expect.stringContaining('--server-token-file'),
    });
  });

  it.each([
    '/grpc.health.v1.Health/Watch',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
  ])('refuses %s without the token, too', async (method) => {
    const harness = await start(tcp);
    const client = new Client(harness.server.address, ChannelCredentials.createInsecure());
    const ask = (metadata: Metadata) =>
      new Promise<status>((resolve) => {
        const pass = (bytes: Buffer) => bytes;
        const call = client.makeBidiStreamRequest(method, pass, pass, metadata);
        call.on('data', () => resolve(status.OK));
        call.once('error', (error: ServiceError) => resolve(error.code));
        call.once('end', () => resolve(status.OK));
        call.end(Buffer.alloc(0));
      });
    expect(await ask(new Metadata())).toBe(status.UNAUTHENTICATED);
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    expect(await ask(metadata)).not.toBe(status.UNAUTHENTICATED);
    client.close();
  });

  it('tells whether it is well without a token, as those who balance loads have none', async () => {
    const { server } = await start(tcp);
    const isServing = await checkHealth({
      address: server.address,
      service: controlServiceName,
      channelOptions: {},
      timeoutMilliseconds: 5000,
    });
    expect(isServing).toBe(true);
  });
});

describe('a token', () => {
  it('comes from a file that nobody else can read, and is no short one', async () => {
    const { folder } = await start();
    const file = join(folder, 'token');
    await writeFile(file, `${token}\n`, { mode: 0o600 });
    expect(await readToken(file, {})).toBe(token);
    expect(redactor({})(`it is ${token}`)).toBe(`it is ${redacted}`);
    await chmod(file, 0o644);
    await expect(readToken(file, {})).rejects.toMatchObject({ code: 'token_file_unsafe' });
    await expect(readToken(undefined, { SIMMER_SERVER_TOKEN: 'short' })).rejects.toSatisfy(
      (error: Error) => !error.message.includes('short '),
    );
  });
});

describe('the tokens of a server', () => {
  it('are one a line, beside whose they are, and none of them lets in who has no other', async () => {
    const another = 'another-token-of-somebody';
    const harness = await start({ ...tcp, moreTokens: [another] });
    const { address } = harness.server;
    for (const each of [token, another]) {
      using client = await ControlClient.open({ address, token: each });
      expect((await client.describeServer()).version).toMatch(/^\d/);
    }
    using client = await ControlClient.open({ address, token: `${token}${another}` });
    await expect(client.describeServer()).rejects.toMatchObject({ code: 'unauthenticated' });

    using former = await ControlClient.open({ address, token });
    using later = await ControlClient.open({ address, token: 'the-token-after-that-one' });
    harness.server.takeTokens(['the-token-after-that-one']);
    expect((await later.describeServer()).version).toMatch(/^\d/);
    await expect(former.describeServer()).rejects.toMatchObject({ code: 'unauthenticated' });

    const file = join(harness.folder, 'tokens');
    await writeFile(file, `# Ada\n${token}\n\n  ${another}\r\n`, { mode: 0o600 });
    expect(await readTokens(file, {})).toEqual([token, another]);
    await expect(readToken(file, {})).rejects.toMatchObject({ code: 'several_lines' });
    await writeFile(file, `${token}\nshort\n`);
    await expect(readTokens(file, {})).rejects.toMatchObject({
      code: 'token_too_short',
      message: expect.stringMatching(/line 2 of .*tokens/),
    });
    await writeFile(file, `${token} # Ada\n`);
    await expect(readTokens(file, {})).rejects.toMatchObject({
      code: 'wrong_token_line',
      message: expect.stringMatching(/Line 1 of /),
    });
    await writeFile(file, '# nobody\n');
    await expect(readTokens(file, {})).rejects.toMatchObject({ code: 'token_file_empty' });
  });
});

describe('a unix socket', () => {
  it('is refused in a folder that others may enter', async () => {
    const { folder } = await start();
    const shared = join(folder, 'shared');
    await mkdir(shared);
    await chmod(shared, 0o755);
    const address = parseAddress(`unix:${join(shared, 's.sock')}`);
    await expect(ControlServer.start({ settings: settingsIn(folder, 'other'), address })).rejects.toMatchObject({
      code: 'socket_folder_unsafe',
    });
  });

  it.each([
    [{ allowedRoots: ['/no/such/folder'] }, 'folder_missing', '--allow-root /no/such/folder'],
    [{ recipeFolders: [import.meta.filename] }, 'folder_missing', '--recipes '],
    [{ allowedOptions: ['torch-trainer/torch.python', 'python'] }, 'wrong_option_name', '--allow-option python'],
  ])('does not start with %j, which would only be seen when a client is refused', async (given, code, message) => {
    const { folder } = await start();
    const address = parseAddress(`unix:${join(folder, 'socket', 'b.sock')}`);
    await expect(
      ControlServer.start({ settings: settingsIn(folder, 'other'), address, ...given }),
    ).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('serves a home that no other server has', async () => {
    const { folder } = await start();
    const address = parseAddress(`unix:${join(folder, 'socket', 'b.sock')}`);
    await expect(ControlServer.start({ settings: settingsIn(folder, 'home'), address })).rejects.toMatchObject({
      code: 'home_served',
      message: expect.stringContaining(`Process ${process.pid} `),
      hint: expect.stringContaining('--home FOLDER'),
    });
  });
});

describe('a connection', () => {
  it('with a message that is too large is told so, and the others go on', async () => {
    const harness = await start();
    const text = 'x'.repeat(2 * 2 ** 20);
    await expect(harness.client.validateRecipe({ recipe: recipeText(text) })).rejects.toMatchObject({
      code: 'server_limit',
    });
    await expectServing(harness);
  });

  it('with a gzip bomb is told so, and costs no memory', async () => {
    const harness = await start();
    const before = process.memoryUsage().rss;
    const bomb = gzipSync(Buffer.alloc(256 * 2 ** 20));
    const header = Buffer.from([1, 0, 0, 0, 0]);
    header.writeUInt32BE(bomb.length, 1);
    const answer = await rawCall(harness, Buffer.concat([header, bomb]), { 'grpc-encoding': 'gzip' });
    expect(answer['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
    await expectServing(harness);
  });

  it('that resets thousands of calls is closed, and the others go on', async () => {
    const harness = await start();
    const session = connectHttp2('http://localhost', { createConnection: () => socketTo(harness) });
    const closed = new Promise<void>((resolve) => session.once('close', resolve));
    session.on('error', () => undefined);
    for (let count = 0; count < 20_000 && !session.closed && !session.destroyed; count++) {
      const stream = session.request({ ':method': 'POST', ':path': '/simmer.control.v1.ControlService/ListRuns' });
      stream.on('error', () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
      if (count % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    await expectServing(harness);
  });

  it('that says nothing is closed; one that has spoken may be silent', async () => {
    const harness = await start({ limits: { handshakeMilliseconds: 1000 } });
    await expectServing(harness);
    const halfOpen = socketTo(harness);
    const slow = socketTo(harness);
    for (const socket of [halfOpen, slow]) socket.resume();
    slow.write('PRI * HTTP/2.0\r\n');
    await Promise.all([halfOpen, slow].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    await expect.poll(() => harness.server.connections).toBe(1);
    await expectServing(harness);
  });

  it('that answers no ping is closed; one that does may be silent', async () => {
    const harness = await start({ limits: { keepaliveMilliseconds: 100, keepaliveTimeoutMilliseconds: 2000 } });
    const lively = connectHttp2('http://localhost', { createConnection: () => socketTo(harness) });
    await new Promise((resolve) => lively.once('remoteSettings', resolve));
    const deaf = socketTo(harness);
    let pings = 0;
    deaf.on('data', (bytes: Buffer) => {
      if (bytes[3] === frames.ping) pings += 1;
    });
    deaf.write(Buffer.concat([preface, frame(frames.settings, 0), frame(frames.settings, 1)]));
    await new Promise((resolve) => deaf.once('close', resolve));
    expect(pings).toBeGreaterThan(0);
    expect(lively.destroyed).toBe(false);
    lively.destroy();
    await expectServing(harness);
  });

  it('with more calls at a time than the limit has the others refused', async () => {
    const harness = await start();
    // More than the server allows are sent before its word on it has come.
    const session = connectHttp2('http://localhost', {
      createConnection: () => socketTo(harness),
      peerMaxConcurrentStreams: 1000,
    });
    session.on('error', () => undefined);
    let refused = 0;
    for (let count = 0; count < 300; count++) {
      const stream = session.request({ ':method': 'POST', ':path': '/simmer.control.v1.ControlService/ListRuns' });
      stream.on('error', () => undefined);
      stream.once('close', () => {
        if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) refused += 1;
      });
    }
    await expect.poll(() => refused).toBe(300 - 256);
    await expectServing(harness);
    session.destroy();
  });

  it('beyond the limit is closed', async () => {
    const harness = await start({ limits: { connections: 3 } });
    await expectServing(harness);
    const sockets = Array.from({ length: 5 }, () => socketTo(harness));
    await new Promise<void>((resolve) => {
      let left = 3;
      for (const socket of sockets) socket.once('close', () => --left === 0 && resolve());
    });
    expect(sockets.filter((socket) => !socket.destroyed)).toHaveLength(2);
    for (const socket of sockets) socket.destroy();
  });

  it('of which no call had a token makes room for one more; the others stay', async () => {
    const harness = await start({ ...tcp, limits: { connections: 3 } });
    await expectServing(harness);
    const strangers: ClientHttp2Session[] = [];
    for (let count = 0; count < 5; count++) {
      const stranger = connectHttp2(`http://${harness.server.address}`);
      stranger.on('error', () => undefined);
      await new Promise((resolve) => stranger.once('remoteSettings', resolve));
      strangers.push(stranger);
    }
    expect(harness.server.connections).toBe(3);
    await expect.poll(() => strangers.map(({ destroyed }) => destroyed)).toEqual([true, true, true, false, false]);
    const call = {
      ...{ ':method': 'POST', ':path': `/${controlServiceName}/DescribeServer`, te: 'trailers' },
      ...{ 'content-type': 'application/grpc', authorization: `Bearer ${token}` },
    };
    for (const client of [3, 4].map((index) => strangers[index]!)) {
      const stream = client.request(call);
      stream.end(Buffer.alloc(5));
      await new Promise((resolve) => stream.once('response', resolve));
    }
    // All three have a token: the next is closed.
    const late = connectHttp2(`http://${harness.server.address}`);
    late.on('error', () => undefined);
    await new Promise((resolve) => late.once('close', resolve));
    expect(strangers.slice(3).some(({ destroyed }) => destroyed)).toBe(false);
    for (const stranger of strangers) stranger.destroy();
    await expectServing(harness);
  });

  it('that calls too often is told to wait', async () => {
    const harness = await start({ limits: { callBurst: 20, callsPerSecond: 1 } });
    const calls = await Promise.allSettled(Array.from({ length: 60 }, () => harness.client.describeServer()));
    const refused = calls.flatMap((call) => (call.status === 'rejected' ? [call.reason] : []));
    expect(refused.length).toBeGreaterThanOrEqual(35);
    // As the details of the status have it.
    for (const error of refused) {
      expect(error).toMatchObject({ code: 'server_limit', hint: 'Call less often, or later.' });
    }
  });

  it('that calls too often without a token takes nothing from clients that share its address', async () => {
    const harness = await start({ ...tcp, limits: { callBurst: 20, callsPerSecond: 0.001 } });
    using stranger = await ControlClient.open({ address: harness.server.address, token: `${token}x` });
    const calls = await Promise.allSettled(Array.from({ length: 60 }, () => stranger.describeServer()));
    const codes = calls.flatMap((call) => (call.status === 'rejected' ? [call.reason.code] : []));
    expect(codes.filter((code) => code === 'unauthenticated')).toHaveLength(20);
    expect(codes.filter((code) => code === 'server_limit')).toHaveLength(40);
    await expectServing(harness);
  });

  it('has recipes checked a few at a time, and is refused where too many wait', async () => {
    const harness = await start({ limits: { plans: 1, waitingPlans: 2 } });
    const check = () => harness.client.validateRecipe({ recipe: recipeText(curation) });
    const checked = await Promise.allSettled(Array.from({ length: 40 }, check));
    const codes = checked.flatMap((call) => (call.status === 'rejected' ? [call.reason.code] : []));
    expect(new Set(codes)).toEqual(new Set(['too_many_plans']));
    expect(checked.length - codes.length).toBeGreaterThanOrEqual(3);
    expect((await check()).problems).toEqual([]);
  });

  it('watches only as often as the limit says', async () => {
    const harness = await start({ limits: { watchers: 0 } });
    const { run } = await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) });
    await expect(harness.events(run!.runId)).rejects.toMatchObject({ code: 'too_many_watchers' });
  });

  it('waits its turn where tables are read for others', async () => {
    const harness = await start({ limits: { analyses: 1 } });
    const { runId } = (await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) })).run!;
    await harness.events(runId);
    const explain = () => harness.client.explainRow({ runId, rowId: 'nobody' });
    const explained = await Promise.allSettled(Array.from({ length: 5 }, explain));
    const codes = explained.map((call) => (call.status === 'rejected' ? call.reason.code : 'ok'));
    expect(new Set(codes)).toEqual(new Set(['row_not_found']));
  });

  it('reads tables only for as many as the limit says, and looks for no row with an endless id', async () => {
    const harness = await start({ limits: { analyses: 0, waitingAnalyses: 0 } });
    const { runId } = (await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) })).run!;
    const explain = (rowId: string) => harness.client.explainRow({ runId, rowId });
    await expect(explain('0123')).rejects.toMatchObject({ code: 'too_many_analyses' });
    await expect(explain('0'.repeat(257))).rejects.toMatchObject({ code: 'invalid_row_id' });
    const diff = harness.client.diffEvaluations({ beforeRunId: runId, afterRunId: runId });
    await expect(diff[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'too_many_analyses' });
  });
});

/** What a client of HTTP/2 says first. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** Types of frames (RFC 9113, section 6). */
const frames = { settings: 4, ping: 6 } as const;

/** A frame without content, of the connection. */
function frame(type: number, flags: number): Buffer {
  return Buffer.from([0, 0, 0, type, flags, 0, 0, 0, 0]);
}

function socketTo(harness: ControlHarness): Socket {
  const socket = connect(harness.server.address.slice('unix:'.length));
  socket.on('error', () => undefined);
  return socket;
}

async function rawCall(harness: ControlHarness, body: Buffer, headers: Record<string, string>) {
  const session = connectHttp2('http://localhost', { createConnection: () => socketTo(harness) });
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/simmer.control.v1.ControlService/ListRuns',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const answer = new Promise<Record<string, unknown>>((resolve, reject) => {
    let found: Record<string, unknown> = {};
    stream.on('response', (response) => {
      found = { ...found, ...response };
    });
    stream.on('trailers', (trailers) => {
      found = { ...found, ...trailers };
    });
    stream.on('error', reject);
    stream.on('close', () => resolve(found));
  });
  stream.end(body);
  stream.resume();
  try {
    return await answer;
  } finally {
    session.destroy();
  }
}
