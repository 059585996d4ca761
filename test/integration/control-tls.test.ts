import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseAddress } from '../../core/control/address.js';
import { ControlClient } from '../../core/control/control-client.js';
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

it('a server with TLS takes clients that trust it, and with an authority for clients only those', async () => {
  const file = (name: string) => join(harness.folder, name);
  const tls = { certificate: file('server.pem'), key: file('server.key') };
  const authority = file('ca.pem');
  const own = { certificate: file('client.pem'), key: file('client.key') };
  const address = parseAddress('localhost:0');
  const version = async (given: { authority?: string; certificate?: string; key?: string } | undefined) => {
    using client = await ControlClient.open({
      address: harness.server.address,
      token,
      ...(given === undefined ? {} : { tls: given }),
    });
    return (await client.describeServer()).version;
  };

  await harness.serve({ address, token, tls });
  expect(await version({ authority })).toMatch(/^\d/);
  await expect(version(undefined)).rejects.toMatchObject({ code: 'server_unreachable' });
  await expect(version({})).rejects.toMatchObject({ code: 'server_unreachable' });
  await harness.stop();

  await harness.serve({ address, token, tls: { ...tls, clientAuthority: authority } });
  expect(await version({ authority, ...own })).toMatch(/^\d/);
  await expect(version({ authority })).rejects.toMatchObject({ code: 'server_unreachable' });
});
