import { afterEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../../test/temporary-folder.js';
import { prepareContext } from './process-machine.js';

afterEach(() => {
  vi.useRealTimers();
});

it('tells people every ten seconds how far an environment is that is made while a recipe is planned', async () => {
  const cacheFolder = await temporaryFolder();
  vi.useFakeTimers({ toFake: ['performance'] });
  const said: string[] = [];
  const machine = { cacheFolder, memoryBytes: 1e9, say: (message: string) => void said.push(message) };
  const { emit } = await prepareContext(machine, cacheFolder);
  for (let done = 0; done < 30; done++) {
    await emit({ type: 'stage.progressed', data: { done, total: 66, unit: 'packages' } });
    vi.advanceTimersByTime(1000);
  }
  expect(said).toEqual(['10/66 packages', '20/66 packages']);
});
