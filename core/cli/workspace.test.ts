import { afterEach, expect, it, vi } from 'vitest';
import { sayToPeople } from './workspace.js';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

it('what is said to people has no secret in it', () => {
  vi.stubEnv('SOME_API_KEY', 'open sesame');
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  sayToPeople('a plugin says "open sesame"');
  expect(write).toHaveBeenCalledExactlyOnceWith('a plugin says "[redacted]"\n');
});
