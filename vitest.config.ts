import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const inRoot = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  oxc: { decorator: { legacy: true } },
  resolve: {
    alias: { 'simmerkit/testing': inRoot('core/testing/index.ts'), simmerkit: inRoot('core/index.ts') },
  },
  test: {
    include: ['core/**/*.test.ts', 'plugins/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**', 'core/cli/templates/**'],
    // Tests mostly wait for processes: one file at a time would leave a machine of two cores idle.
    maxWorkers: '100%',
    // What comes at all may come late on a busy machine: the files of tests run side by side.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
