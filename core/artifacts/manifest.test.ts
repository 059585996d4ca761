import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ArtifactFile } from './artifact.js';
import { artifactDigest } from './manifest.js';

describe('the digest of a manifest', () => {
  const file = fc.record({
    path: fc.stringMatching(/^[a-z]{1,6}$/),
    size: fc.nat(),
    sha256: fc.stringMatching(/^[0-9a-f]{8}$/),
  });
  const files = fc.uniqueArray(file, { selector: ({ path }) => path, maxLength: 5 });
  const metadata = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 });

  it('depends neither on the order of files nor on that of keys', () => {
    fc.assert(
      fc.property(files, metadata, (files, metadata) => {
        const turned: readonly ArtifactFile[] = files
          .toReversed()
          .map(({ path, size, sha256 }) => ({ sha256, size, path }));
        expect(artifactDigest({ type: 'model', files: turned, metadata: reversedKeys(metadata) })).toBe(
          artifactDigest({ type: 'model', files, metadata }),
        );
      }),
    );
  });

  it('survives the way through the file', () => {
    fc.assert(
      fc.property(files, metadata, (files, metadata) => {
        const content = { type: 'report', files, metadata } as const;
        expect(artifactDigest(JSON.parse(JSON.stringify(content)))).toBe(artifactDigest(content));
      }),
    );
  });

  it('changes with any file and any metadata', () => {
    fc.assert(
      fc.property(files, file, metadata, (files, other, metadata) => {
        fc.pre(files.every(({ path }) => path !== other.path));
        const digest = artifactDigest({ type: 'model', files, metadata });
        expect(artifactDigest({ type: 'model', files: [...files, other], metadata })).not.toBe(digest);
        expect(artifactDigest({ type: 'dataset', files, metadata })).not.toBe(digest);
        expect(artifactDigest({ type: 'model', files, metadata: { ...metadata, '\u0000new': 1 } })).not.toBe(digest);
      }),
    );
  });

  function reversedKeys(value: unknown): never {
    if (Array.isArray(value)) return value.map(reversedKeys) as never;
    if (typeof value !== 'object' || value === null) return value as never;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, inner]) => [key, reversedKeys(inner)]),
    ) as never;
  }
});
