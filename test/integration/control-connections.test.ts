import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ControlClient } from '../../core/control/control-client.js';
import { controlServiceName } from '../../core/control/control-server.js';
import { RunArtifacts } from '../../core/engine/past-runs/run-artifacts.js';
import { PluginCatalog } from '../../core/plugin/catalog.js';
import { type ControlHarness, curation, recipeText, startServer, tcp, token } from './control-harness.js';

describe('a connection', () => {
  it('with a message that is too large is told so, and the others go on', async () => {
    const harness = await startServer();
    const text = 'x'.repeat(2 * 2 ** 20);
    await expect(harness.client.validateRecipe({ recipe: recipeText(text) })).rejects.toMatchObject({
      code: 'server_limit',
    });
    await harness.expectServing();
  });

  it('with a gzip bomb is told so, and costs no memory', async () => {
    const harness = await startServer();
    const before = process.memoryUsage().rss;
    const bomb = gzipSync(Buffer.alloc(256 * 2 ** 20));
    const header = Buffer.from([1, 0, 0, 0, 0]);
    header.writeUInt32BE(bomb.length, 1);
    const answer = await rawCall(harness, Buffer.concat([header, bomb]), { 'grpc-encoding': 'gzip' });
    expect(answer['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
    await harness.expectServing();
  });

  it('that resets thousands of calls is closed, and the others go on', async () => {
    const harness = await startServer();
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
    await harness.expectServing();
  });

  it('that says nothing is closed; one that has spoken may be silent', async () => {
    const harness = await startServer({ limits: { handshakeMilliseconds: 2000 } });
    await harness.expectServing();
    const halfOpen = socketTo(harness);
    const slow = socketTo(harness);
    for (const socket of [halfOpen, slow]) socket.resume();
    slow.write('PRI * HTTP/2.0\r\n');
    await Promise.all([halfOpen, slow].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    await expect.poll(() => harness.server.connections).toBe(1);
    await harness.expectServing();
  });

  it('that answers no ping is closed; one that does may be silent', async () => {
    const harness = await startServer({ limits: { keepaliveMilliseconds: 100, keepaliveTimeoutMilliseconds: 4000 } });
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
    await harness.expectServing();
  });

  it('with more calls at a time than the limit has the others refused', async () => {
    const harness = await startServer();
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
    await harness.expectServing();
    session.destroy();
  });

  it('beyond the limit is closed', async () => {
    const harness = await startServer({ limits: { connections: 3 } });
    await harness.expectServing();
    const sockets = Array.from({ length: 5 }, () => socketTo(harness));
    await new Promise<void>((resolve) => {
      let left = 3;
      for (const socket of sockets) socket.once('close', () => --left === 0 && resolve());
    });
    expect(sockets.filter((socket) => !socket.destroyed)).toHaveLength(2);
    for (const socket of sockets) socket.destroy();
  });

  it('of which no call had a token makes room for one more; the others stay', async () => {
    const harness = await startServer({ ...tcp, limits: { connections: 3 } });
    await harness.expectServing();
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
    await harness.expectServing();
  });

  it('that calls too often is told to wait', async () => {
    const harness = await startServer({ limits: { callBurst: 20, callsPerSecond: 0.001 } });
    const calls = await Promise.allSettled(Array.from({ length: 60 }, () => harness.client.describeServer()));
    const refused = calls.flatMap((call) => (call.status === 'rejected' ? [call.reason] : []));
    expect(refused).toHaveLength(40);
    // As the details of the status have it.
    for (const error of refused) {
      expect(error).toMatchObject({ code: 'server_limit', hint: 'Call less often, or later.' });
    }
  });

  it('that calls too often without a token takes nothing from clients that share its address', async () => {
    const harness = await startServer({ ...tcp, limits: { callBurst: 20, callsPerSecond: 0.001 } });
    using stranger = await ControlClient.open({ address: harness.server.address, token: `${token}x` });
    const calls = await Promise.allSettled(Array.from({ length: 60 }, () => stranger.describeServer()));
    const codes = calls.flatMap((call) => (call.status === 'rejected' ? [call.reason.code] : []));
    expect(codes.filter((code) => code === 'unauthenticated')).toHaveLength(20);
    expect(codes.filter((code) => code === 'server_limit')).toHaveLength(40);
    await harness.expectServing();
  });

  it('has recipes checked a few at a time, and is refused where too many wait', async () => {
    const harness = await startServer({ limits: { plans: 1, waitingPlans: 2 } });
    const check = () => harness.client.validateRecipe({ recipe: recipeText(curation) });
    const checked = await Promise.allSettled(Array.from({ length: 40 }, check));
    const codes = checked.flatMap((call) => (call.status === 'rejected' ? [call.reason.code] : []));
    expect(new Set(codes)).toEqual(new Set(['too_many_plans']));
    expect(checked.length - codes.length).toBeGreaterThanOrEqual(3);
    expect((await check()).problems).toEqual([]);
  });

  it('watches only as often as the limit says', async () => {
    const harness = await startServer({ limits: { watchers: 0 } });
    const { run } = await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) });
    await expect(harness.events(run!.runId)).rejects.toMatchObject({ code: 'too_many_watchers' });
  });

  it('works out once for all clients what recipes may use', async () => {
    const loading = vi.spyOn(PluginCatalog.prototype, 'all');
    onTestFinished(() => loading.mockRestore());
    const { client } = await startServer();
    const ask = () => Promise.all([client.listPlugins(), client.getRecipeSchema()]);
    const told = await ask();
    expect(told[1].schemaJson).toContain('curation/split');
    expect(await ask()).toEqual(told);
    expect(loading).toHaveBeenCalledTimes(2);
  });

  it('reads one log after the other for those who list artifacts', async () => {
    const harness = await startServer();
    const { runId } = (await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) })).run!;
    await harness.events(runId);
    let [underWay, most] = [0, 0];
    const { list } = RunArtifacts.prototype;
    const listing = vi.spyOn(RunArtifacts.prototype, 'list').mockImplementation(async function (
      this: RunArtifacts,
      ...of
    ) {
      most = Math.max(most, ++underWay);
      return await list.apply(this, of).finally(() => underWay--);
    });
    onTestFinished(() => listing.mockRestore());
    const listed = await Promise.all(Array.from({ length: 10 }, () => harness.client.listArtifacts(runId)));
    expect(new Set(listed.map(({ artifacts }) => artifacts.length))).toEqual(new Set([listed[0]!.artifacts.length]));
    expect(listed[0]!.artifacts).not.toEqual([]);
    expect(most).toBe(1);
  });

  it('waits its turn where tables are read for others', async () => {
    const harness = await startServer({ limits: { analyses: 1 } });
    const { runId } = (await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) })).run!;
    await harness.events(runId);
    const explain = () => harness.client.explainRow({ runId, rowId: 'nobody' });
    const explained = await Promise.allSettled(Array.from({ length: 5 }, explain));
    const codes = explained.map((call) => (call.status === 'rejected' ? call.reason.code : 'ok'));
    expect(new Set(codes)).toEqual(new Set(['row_not_found']));
  });

  it('reads tables only for as many as the limit says, and looks for no row with an endless id', async () => {
    const harness = await startServer({ limits: { analyses: 0, waitingAnalyses: 0 } });
    const { runId } = (await harness.client.createRun({ requestId: 'r', recipe: recipeText(curation) })).run!;
    const explain = (rowId: string) => harness.client.explainRow({ runId, rowId });
    await expect(explain('0123')).rejects.toMatchObject({ code: 'too_many_analyses' });
    await expect(explain('0'.repeat(257))).rejects.toMatchObject({ code: 'invalid_row_id' });
    const diff = harness.client.diffEvaluations({ beforeRunId: runId, afterRunId: runId });
    await expect(diff[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'too_many_analyses' });
    await expect(harness.client.writeReport(runId)).rejects.toMatchObject({ code: 'too_many_analyses' });
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
