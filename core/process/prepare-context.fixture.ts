import type { PrepareContext, StageEvent } from '../plugin/definitions.js';

/** What is told to people, and emitted, while something is prepared in a folder. */
export function prepareContext(
  folder: string,
  said: string[],
  onEvent: (event: StageEvent) => void,
  signal: AbortSignal,
): PrepareContext {
  const say = (message: string) => void said.push(message);
  return {
    log: { debug: () => {}, info: say, warning: say, error: say },
    signal,
    cacheFolder: folder,
    recipeFolder: folder,
    emit: async (event) => onEvent(event),
  };
}
