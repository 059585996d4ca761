import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { UserError } from '../errors.js';

/** Paths of PEM files: whom one side trusts, its own certificate chain, and the key of that. */
export interface TlsFiles {
  readonly authority?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** What the files hold; null where there is none. */
type TlsPem = { readonly [Name in keyof TlsFiles]-?: Buffer | null };

/** Reads the files and has OpenSSL take them. @throws UserError `tls_file_missing`, `tls_file_wrong` */
export async function takeTlsFiles({ authority, certificate, key }: TlsFiles): Promise<TlsPem> {
  const [ca, cert, privateKey] = await Promise.all([authority, certificate, key].map(read));
  const pem = { authority: ca ?? null, certificate: cert ?? null, key: privateKey ?? null };
  try {
    createSecureContext({ ca, cert, key: privateKey });
    return pem;
  } catch (error) {
    const files = [authority, certificate, key].filter((file) => file !== undefined).join(', ');
    const reason = (error as Error).message.replace(/^error:[0-9A-Fa-f]+:/, '');
    throw new UserError('tls_file_wrong', `TLS does not take ${files}: ${reason}.`, {
      hint: 'They are PEM files: an authority; a certificate, its chain behind it; the key of that certificate, without a passphrase.',
      cause: error,
    });
  }
}

/** What clients will refuse of a certificate at this time; undefined where nothing. @param pem its chain, itself first */
export function outOfDate(pem: Buffer, now: Date): string | undefined {
  const { validFrom, validTo } = new X509Certificate(pem);
  if (now > new Date(validTo)) return `it has expired, on ${validTo}`;
  if (now < new Date(validFrom)) return `it is not valid before ${validFrom}`;
  return undefined;
}

async function read(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined;
  return readFile(file).catch((error: Error) => {
    throw new UserError('tls_file_missing', `A file for TLS cannot be read: ${error.message}.`);
  });
}
