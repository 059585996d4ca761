import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { builtModule } from '../integration/built-module.js';

it.each([[[]], [['--server', 'llamacpp', '--weights', 'model.gguf']]])(
  'the check of servers says what to give it, where it was told too little: %j',
  (args) => {
    const { status, stderr } = spawnSync(process.execPath, [builtModule('test/servers/main.ts'), ...args], {
      encoding: 'utf8',
    });
    expect(status).toBe(2);
    expect(stderr).toBe(
      'Say which server to ask: npm run check:servers -- --server NAME --python PY --weights PATH, where NAME is one of ' +
        'llama.cpp, transformers, vllm; or --url URL --model NAME of one that runs.\n',
    );
  },
);
