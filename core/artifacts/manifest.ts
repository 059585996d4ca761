import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jsonDigest } from '../document/canonical-json.js';
import { UserError } from '../errors.js';
import { isMissing } from '../files/unless-missing.js';
import type { ArtifactFile, ArtifactManifest, ArtifactType } from './artifact.js';
import { artifactUri } from './artifact-uri.js';

export const manifestFile = 'manifest.json';
const manifestFormat = 1;

/** What an artifact is made of, by which it is found. */
type ArtifactContent = Pick<ArtifactManifest, 'type' | 'files' | 'metadata'>;

/** SHA-256 over type, files and metadata, whatever the order of keys or of files. @throws TypeError for metadata that is not JSON */
export function artifactDigest({ type, files, metadata }: ArtifactContent): string {
  const listed = byPath(files).map(({ path, size, sha256 }) => ({ path, size, sha256 }));
  return jsonDigest({ type, files: listed, metadata });
}

/** @param location where the files are, if not beside the manifest */
export function createManifest(content: ArtifactContent, location?: string): ArtifactManifest {
  return {
    format: manifestFormat,
    type: content.type,
    digest: artifactDigest(content),
    files: byPath(content.files),
    metadata: content.metadata,
    ...(location === undefined ? {} : { location }),
  };
}

export function formatManifest(manifest: ArtifactManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/**
 * Reads the manifest of an artifact's folder, and checks that it is the one that the folder's name promises.
 * @throws UserError `artifact_missing`, `artifact_damaged`, `newer_format`
 */
export async function readManifest(folder: string, type: ArtifactType, digest: string): Promise<ArtifactManifest> {
  const file = join(folder, manifestFile);
  const text = await readText(file, artifactUri(type, digest));
  const manifest = parse(text);
  const format: unknown = manifest?.format;
  if (typeof format === 'number' && format > manifestFormat) {
    throw new UserError(
      'newer_format',
      `${file} has the format ${format}; this Simmer reads up to ${manifestFormat}.`,
      {
        kind: 'environment',
        hint: 'Use the Simmer that made it, or a newer one.',
      },
    );
  }
  if (!isManifest(manifest) || manifest.type !== type || artifactDigest(manifest) !== digest) {
    throw new UserError('artifact_damaged', `The manifest ${file} is not the one that was written.`, {
      kind: 'environment',
      hint: `Remove ${folder}; what made it will make it again.`,
    });
  }
  return manifest;
}

async function readText(file: string, uri: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new UserError('artifact_missing', `There is no artifact ${uri} in this home: ${file} does not exist.`, {
      kind: 'environment',
      hint: 'Choose the home that has it with --home, or run the recipe that makes it again.',
    });
  }
}

function parse(text: string): Partial<ArtifactManifest> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function isManifest(value: Partial<ArtifactManifest> | undefined): value is ArtifactManifest {
  return (
    value?.format === manifestFormat &&
    Array.isArray(value.files) &&
    value.files.every(isFile) &&
    typeof value.metadata === 'object' &&
    value.metadata !== null &&
    (value.location === undefined || typeof value.location === 'string')
  );
}

/** A path that leads out of the folder would let a manifest from elsewhere read any file. */
function isFile(value: unknown): value is ArtifactFile {
  const { path, size, sha256 } = (value ?? {}) as Partial<ArtifactFile>;
  return (
    typeof path === 'string' &&
    !path.split('/').some((part) => part === '' || part === '.' || part === '..') &&
    Number.isSafeInteger(size) &&
    typeof sha256 === 'string'
  );
}

function byPath(files: readonly ArtifactFile[]): readonly ArtifactFile[] {
  return files.toSorted((left, right) => (left.path < right.path ? -1 : 1));
}
