import { execFileSync } from 'node:child_process';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { parseAddress } from '../../core/control/address.js';
import { ControlClient } from '../../core/control/control-client.js';
import { outOfDate, type TlsFiles } from '../../core/control/tls-files.js';
import { ControlHarness } from './control-harness.js';

const token = 'a-token-that-is-long-enough';
let harness: ControlHarness;

/** An authority, a server's certificate for localhost, and a client's, by the machine's openssl. */
beforeAll(async () => {
  harness = await ControlHarness.start();
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: harness.folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority', '-days', '2');
  for (const name of ['server', 'client']) {
    const alternative = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`, ...alternative);
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy'];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.pem`);
  }
  await harness.stop();
});
afterAll(() => harness[Symbol.asyncDispose]());

const file = (name: string) => join(harness.folder, name);
const address = parseAddress('localhost:0');

/** What a client gets that the server may not know, and that may not know the server. */
async function version(tls: TlsFiles | undefined, host = 'localhost'): Promise<string> {
  const server = harness.server.address.replace('localhost', host);
  using client = await ControlClient.open({ address: server, token, ...(tls === undefined ? {} : { tls }) });
  return (await client.describeServer()).version;
}

it('a server with TLS takes clients that trust it, and with an authority for clients only those', async () => {
  const tls = { certificate: file('server.pem'), key: file('server.key') };
  const authority = file('ca.pem');
  const own = { certificate: file('client.pem'), key: file('client.key') };
  const warning = vi.spyOn(process, 'emitWarning');

  await harness.serve({ address, token, tls });
  expect(await version({ authority })).toMatch(/^\d/);
  expect(await version({ authority }, '127.0.0.1')).toMatch(/^\d/);
  expect(warning).not.toHaveBeenCalled();
  await expect(version(undefined)).rejects.toMatchObject({ code: 'server_unreachable' });
  await expect(version({})).rejects.toMatchObject({ code: 'server_untrusted' });
  await expect(version({ authority, certificate: own.certificate })).rejects.toMatchObject({ code: 'tls_incomplete' });
  await expect(version({ authority, ...own, key: tls.key })).rejects.toMatchObject({ code: 'tls_file_wrong' });
  await harness.stop();

  await harness.serve({ address, token, tls: { ...tls, clientAuthority: authority } });
  expect(await version({ authority, ...own })).toMatch(/^\d/);
  await expect(version({ authority })).rejects.toMatchObject({ code: 'client_untrusted' });
  await harness.stop();
});

it('a server takes another certificate while it runs, and keeps the one it has where that is wrong', async () => {
  const tls = { certificate: file('now.pem'), key: file('now.key') };
  const replaceBy = (name: string) => copyFile(file(`${name}.pem`), tls.certificate);
  await replaceBy('server');
  await copyFile(file('server.key'), tls.key);
  await harness.serve({ address, token, tls });
  const served = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ port: Number(harness.server.address.split(':')[1]), rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().subject.CN as string);
        socket.destroy();
      }).once('error', reject);
    });
  expect(await served()).toBe('server');
  await replaceBy('client');
  await expect(harness.server.takeTlsFiles()).rejects.toMatchObject({ code: 'tls_file_wrong' });
  expect(await served()).toBe('server');
  await copyFile(file('client.key'), tls.key);
  await harness.server.takeTlsFiles();
  expect(await served()).toBe('client');
  expect(await version({ authority: file('ca.pem') })).toMatch(/^\d/);
  await harness.stop();
});

it('a client speaks TLS with every host but this one, and sends no token where none answers with it', async () => {
  await harness.serve({ address, token });
  expect(await version(undefined)).toMatch(/^\d/);
  await expect(version(undefined, '0.0.0.0')).rejects.toMatchObject({ code: 'server_without_tls' });
  await harness.stop();
});

it('a server does not start with a key of another certificate, and says of one out of date that clients refuse it', async () => {
  const wrong = { certificate: file('server.pem'), key: file('client.key') };
  await expect(harness.serve({ address, token, tls: wrong })).rejects.toMatchObject({
    code: 'tls_file_wrong',
    message: expect.stringContaining('client.key'),
  });
  const pem = await readFile(file('server.pem'));
  expect(outOfDate(pem, new Date())).toBeUndefined();
  expect(outOfDate(pem, new Date('2000-01-01'))).toContain('not valid before');
  expect(outOfDate(pem, new Date(Date.now() + 3 * 24 * 3600 * 1000))).toContain('expired');
});
