import { UserError } from '../errors.js';
import type { ArtifactType, ArtifactUri } from './artifact.js';

const artifactTypes: readonly ArtifactType[] = ['dataset', 'model', 'generations', 'report'];

/** @param digest as in the manifest, lower-case hex */
export function artifactUri(type: ArtifactType, digest: string): ArtifactUri {
  return `simmer://${type}/sha256-${digest}` as ArtifactUri;
}

/** Of models alone: other artifacts refer to nothing. */
export function isModelUri(uri: string): boolean {
  return uri.startsWith('simmer://model/');
}

/** @throws UserError `invalid_artifact_uri` */
export function parseArtifactUri(uri: string): { readonly type: ArtifactType; readonly digest: string } {
  const match = /^simmer:\/\/([a-z]+)\/sha256-([0-9a-f]{64})$/.exec(uri);
  const type = artifactTypes.find((known) => known === match?.[1]);
  if (type === undefined) {
    throw new UserError('invalid_artifact_uri', `"${uri}" names no artifact.`, {
      hint: `It has the form simmer://TYPE/sha256-HEX, where TYPE is one of ${artifactTypes.join(', ')}.`,
    });
  }
  return { type, digest: match![2]! };
}
