import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChannelCredentials, Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { readToken, readTokens } from '../../core/control/access.js';
import { parseAddress } from '../../core/control/address.js';
import { ControlClient } from '../../core/control/control-client.js';
import { ControlServer, controlServiceName } from '../../core/control/control-server.js';
import { redacted, redactor } from '../../core/events/redaction.js';
import { checkHealth } from '../../core/process/grpc-health.js';
import { curation, recipeText, startServer, tcp, token } from './control-harness.js';

const settingsIn = (folder: string, home: string) => ({
  home: join(folder, home),
  cacheFolder: folder,
  resources: { cpus: 1, memoryBytes: 1, gpus: 0 },
  sources: {},
});

describe('a server on TCP', () => {
  it('needs a token, and TLS where others could listen in', async () => {
    await expect(startServer({ address: tcp.address })).rejects.toMatchObject({ code: 'token_needed' });
    await expect(startServer({ ...tcp, address: parseAddress('0.0.0.0:0') })).rejects.toMatchObject({
      code: 'tls_needed',
    });
  });

  it.each([undefined, 'a-token-that-is-long-enougg', 'x', `${token}${token}`])(
    'refuses the token %s',
    async (wrong) => {
      const harness = await startServer(tcp);
      const { address } = harness.server;
      using client = await ControlClient.open({ address, ...(wrong === undefined ? {} : { token: wrong }) });
      await expect(client.describeServer()).rejects.toMatchObject({ code: 'unauthenticated' });
      await expect(client.createRun({ requestId: 'x', recipe: recipeText(curation) })).rejects.toMatchObject({
        code: 'unauthenticated',
      });
      await harness.expectServing();
    },
  );

  it('tells a client how to give the token, by the option that is the client’s', async () => {
    const { server } = await startServer(tcp);
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
    const harness = await startServer(tcp);
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
    const { server } = await startServer(tcp);
    const isServing = await checkHealth({
      address: server.address,
      service: controlServiceName,
      channelOptions: {},
      timeoutMilliseconds: 60_000,
    });
    expect(isServing).toBe(true);
  });

  it.each(['simmer.control.v1.NoService', 'x'.repeat(900_000)])(
    'says of no service that it does not have that it is well, however long its name is',
    async (service) => {
      const harness = await startServer(tcp);
      const { address } = harness.server;
      const asked = checkHealth({ address, service, channelOptions: {}, timeoutMilliseconds: 60_000 });
      await expect(asked).rejects.toMatchObject({ code: status.NOT_FOUND });
      await harness.expectServing();
    },
  );
});

describe('a token', () => {
  it('comes from a file that nobody else can read, and is no short one', async () => {
    const { folder } = await startServer();
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
    const harness = await startServer({ ...tcp, moreTokens: [another] });
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
    const { folder } = await startServer();
    const shared = join(folder, 'shared');
    await mkdir(shared);
    await chmod(shared, 0o755);
    const address = parseAddress(`unix:${join(shared, 's.sock')}`);
    await expect(ControlServer.start({ settings: settingsIn(folder, 'other'), address })).rejects.toMatchObject({
      code: 'socket_folder_unsafe',
    });
  });

  it('takes the place of no file that somebody named by mistake', async () => {
    const { folder } = await startServer();
    const own = join(folder, 'own');
    await mkdir(own, { mode: 0o700 });
    await writeFile(join(own, 'notes'), 'kept');
    const address = parseAddress(`unix:${join(own, 'notes')}`);
    await expect(ControlServer.start({ settings: settingsIn(folder, 'other'), address })).rejects.toMatchObject({
      code: 'address_in_use',
    });
    expect(await readFile(join(own, 'notes'), 'utf8')).toBe('kept');
  });

  it('tells its owner of a plugin that is allowed and not installed', async () => {
    const { folder } = await startServer();
    const address = parseAddress(`unix:${join(folder, 'socket', 'b.sock')}`);
    const told: string[] = [];
    const log = (message: string) => void told.push(message);
    const settings = settingsIn(folder, 'other');
    const server = await ControlServer.start({ settings, address, log, allowedPlugins: ['nosuch-plugin'] });
    await server.stop();
    expect(told).toContainEqual(
      expect.stringMatching(/^--allow-plugin nosuch-plugin: .* is not installed .*npm install nosuch-plugin/),
    );
  });

  it.each([
    [{ allowedRoots: ['/no/such/folder'] }, 'folder_missing', '--allow-root /no/such/folder'],
    [{ recipeFolders: [import.meta.filename] }, 'folder_missing', '--recipes '],
    [{ allowedOptions: ['torch-trainer/torch.python', 'python'] }, 'wrong_option_name', '--allow-option python'],
  ])('does not start with %j, which would only be seen when a client is refused', async (given, code, message) => {
    const { folder } = await startServer();
    const address = parseAddress(`unix:${join(folder, 'socket', 'b.sock')}`);
    await expect(
      ControlServer.start({ settings: settingsIn(folder, 'other'), address, ...given }),
    ).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('serves a home that no other server has', async () => {
    const { folder } = await startServer();
    const address = parseAddress(`unix:${join(folder, 'socket', 'b.sock')}`);
    await expect(ControlServer.start({ settings: settingsIn(folder, 'home'), address })).rejects.toMatchObject({
      code: 'home_served',
      message: expect.stringContaining(`Process ${process.pid} `),
      hint: expect.stringMatching(new RegExp(`\\(kill ${process.pid}\\).*--home FOLDER`)),
    });
  });

  it('makes no other home where its own is gone, such as a folder of the network, and goes on when that is back', async () => {
    const harness = await startServer();
    const home = join(harness.folder, 'home');
    const away = join(harness.folder, 'away');
    const request = { requestId: 'one', recipe: recipeText(curation) };
    await rename(home, away);
    const gone = { code: 'home_gone', message: expect.stringContaining(home) };
    await expect(harness.client.createRun(request)).rejects.toMatchObject(gone);
    await expect(harness.events('any')).rejects.toMatchObject(gone);
    expect(existsSync(home)).toBe(false);
    const isWell = () =>
      checkHealth({ address: harness.server.address, service: '', channelOptions: {}, timeoutMilliseconds: 60_000 });
    await expect.poll(isWell).toBe(false);
    await mkdir(join(home, 'server'), { recursive: true });
    await expect(harness.client.createRun(request)).rejects.toMatchObject(gone);
    expect(await readdir(home)).toEqual(['server']);
    await rm(home, { recursive: true });
    await rename(away, home);
    await expect.poll(isWell).toBe(true);
    const { run } = await harness.client.createRun(request);
    expect((await harness.events(run!.runId)).at(-1)?.type).toBe('run.completed');
  });
});
