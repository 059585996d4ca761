import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import { ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { UserError } from '../errors.js';
import { isLoopback } from './access.js';
import type { ServerAddress } from './address.js';
import { type TlsFiles, takeTlsFiles } from './tls-files.js';

interface ClientCredentials {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/**
 * How a client connects: with TLS wherever others could listen in, as servers do it, so that no token goes out in the
 * clear; on this machine only where files are given.
 * @param files of the authority that it trusts (absent: the public ones), and of its own certificate
 * @throws UserError `tls_file_missing`, `tls_incomplete`, `tls_file_wrong`
 */
export async function clientCredentials(
  address: ServerAddress,
  files: TlsFiles | undefined,
): Promise<ClientCredentials> {
  const isLocal = address.kind === 'unix' || isLoopback(address.host);
  if (files === undefined && isLocal) return { credentials: ChannelCredentials.createInsecure(), options: {} };
  const { authority, certificate, key } = files ?? {};
  if ((certificate === undefined) !== (key === undefined)) {
    throw new UserError('tls_incomplete', 'A certificate of a client goes with its key.', {
      hint: 'Set both SIMMER_SERVER_CERT and SIMMER_SERVER_KEY.',
    });
  }
  const ip = address.kind === 'tcp' && isIP(address.host) !== 0 ? address.host : undefined;
  const verify = ip === undefined ? {} : { checkServerIdentity: checkOf(ip) };
  const pem = await takeTlsFiles({ authority, certificate, key });
  return {
    credentials: ChannelCredentials.createSsl(pem.authority, pem.key, pem.certificate, verify),
    // TLS names a server by a domain, never by an IP address: Node warns of one. The certificate is checked against the IP.
    options: ip === undefined ? {} : { 'grpc.ssl_target_name_override': 'localhost' },
  };
}

function checkOf(ip: string): typeof checkServerIdentity {
  return (_name, certificate) => checkServerIdentity(ip, certificate);
}
