import { UserError } from '../errors.js';

/** What the texts of a TLS connection that did not come about mean, as Node and OpenSSL write them. */
const causes: readonly {
  readonly text: RegExp;
  readonly code: string;
  message(address: string, reason: string): string;
  readonly hint: string;
}[] = [
  {
    text: /certificate has expired|certificate is not yet valid/,
    code: 'server_untrusted',
    message: (address, reason) => `The certificate of the server at ${address} does not hold now: ${reason}.`,
    hint: 'Have its owner renew it: the server takes it up by itself. Or set the clock of this machine.',
  },
  {
    text: /does not match certificate's altnames/,
    code: 'server_untrusted',
    message: (address, reason) =>
      `The certificate of the server at ${address} is for other names: ${reason.replace(/^.*the cert's \w+: /, '')}.`,
    hint: 'Give the server by a name that its certificate has.',
  },
  {
    text: /self.signed certificate|unable to (verify|get)|certificate signature failure/,
    code: 'server_untrusted',
    message: (address, reason) => `Nobody whom this machine trusts vouches for the server at ${address}: ${reason}.`,
    hint: "Set SIMMER_SERVER_CA to the PEM file of the authority of the server's certificate.",
  },
  {
    text: /alert (certificate (required|unknown|expired)|bad certificate|unknown ca|handshake failure)/,
    code: 'client_untrusted',
    message: (address) => `The server at ${address} takes only clients with a certificate that it trusts.`,
    hint: 'Set SIMMER_SERVER_CERT and SIMMER_SERVER_KEY to the PEM files of yours.',
  },
  {
    text: /wrong version number|packet length too long|disconnected before secure TLS connection/,
    code: 'server_without_tls',
    message: (address) => `The server at ${address} does not answer with TLS.`,
    hint: 'One on this machine may serve without: unset SIMMER_SERVER_CA. Through a tunnel, give its end on this machine.',
  },
];

/** Why no connection came about. @param details as grpc-js tells them */
export function connectionError(address: string, details: string): UserError {
  const reason = details
    .replace(/^No connection established\. Last error: /, '')
    .replace(/ Resolution note: .*$/s, '')
    .replace(/^(Error|TypeError)( \[\w+\])?: /, '')
    .replace(/ \(\d{4}-[\d-]+T[\d:.]+Z\)/, '')
    .trim()
    .replace(/\.$/, '');
  const cause = causes.find(({ text }) => text.test(reason));
  if (cause !== undefined) {
    const { code, hint } = cause;
    return new UserError(code, cause.message(address, reason), { kind: 'environment', hint });
  }
  // So grpc-js tells that the other side hung up on what it could not read.
  const tls = reason === 'Failed to connect' ? ' If it serves with TLS, set SIMMER_SERVER_CA here.' : '';
  return new UserError('server_unreachable', `No Simmer server answers at ${address}: ${reason}.`, {
    kind: 'environment',
    hint: `Is \`simmer serve\` running there? It prints its address when it starts.${tls}`,
  });
}
