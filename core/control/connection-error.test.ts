import { expect, it } from 'vitest';
import { connectionError } from './connection-error.js';

const last = (text: string) => `No connection established. Last error: ${text}. Resolution note: `;

it.each([
  [
    last('Error: connect ECONNREFUSED 127.0.0.1:7070'),
    'No Simmer server answers at HOST:7070: connect ECONNREFUSED 127.0.0.1:7070.',
  ],
  [
    'Name resolution failed for target dns:HOST:7070',
    'No Simmer server answers at HOST:7070: Name resolution failed for target dns:HOST:7070.',
  ],
  [
    last('Error: certificate has expired'),
    'The certificate of the server at HOST:7070 does not hold now: certificate has expired.',
  ],
  [
    last(
      "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: HOST. is not in the cert's altnames: DNS:other.example",
    ),
    'The certificate of the server at HOST:7070 is for other names: DNS:other.example.',
  ],
  [
    last(
      "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: IP: 192.0.2.2 is not in the cert's list: 127.0.0.1",
    ),
    'The certificate of the server at HOST:7070 is for other names: 127.0.0.1.',
  ],
])('%s is told without what grpc-js puts around it', (details, message) => {
  expect(connectionError('HOST:7070', details).message).toBe(message);
});

it('speaks of TLS where a server hung up, and not where there is none', () => {
  const hint = (details: string) => connectionError('localhost:7070', details).hint;
  expect(hint(last('Failed to connect (2026-01-01T00:00:00.000Z)'))).toContain('set SIMMER_SERVER_CA');
  expect(hint(last('Error: connect ECONNREFUSED 127.0.0.1:7070'))).not.toContain('TLS');
});
