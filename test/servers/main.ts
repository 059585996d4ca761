import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Row } from 'simmerkit';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { openAiCompatible } from '../../plugins/budget-forcing/openai-compatible.stage.js';

/**
 * `npm run check:servers -- --python PY --gguf FILE` starts llama.cpp's server (PyPI: xllamacpp) on a model and has it answer
 * under thinking budgets; `--url URL --model NAME` asks a server that runs already. Exits 1 where a budget was not kept.
 */
const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    gguf: { type: 'string' },
    url: { type: 'string' },
    model: { type: 'string', default: 'model' },
  },
});
const root = fileURLToPath(new URL('../../..', import.meta.url));

const child =
  values.url === undefined
    ? spawn(values.python, [join(root, 'test/servers/llama_cpp.py'), values.gguf ?? ''], {
        stdio: ['pipe', 'pipe', 'ignore'],
      })
    : undefined;
let url = values.url;
if (child !== undefined) {
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => undefined)]);
  if (first === undefined)
    throw new Error('llama.cpp did not start: is --python one with xllamacpp, and --gguf a file?');
  url = `${String(first[0]).replace(/\/$/, '')}/v1`;
}

const dataset = memoryTable(
  { id: 'VARCHAR', question: 'VARCHAR' },
  ['What is 17 + 25?', 'Name three colours.', 'Why is the sky blue?'].map((question, index) => ({
    id: `q${index}`,
    question,
  })),
);
const options = {
  url,
  model: values.model,
  // A model that was not trained to think writes sentences: the end of the first is the end of its thinking.
  thinkingFormat: { start: 'Let me think:', end: '. ', finalAnswerPrompt: 'Final Answer:' },
  sweep: { thinkingTokens: [8, 16, 48], ignore: [1, 2] },
  sampling: { maxAnswerTokens: 8 },
  concurrency: 2,
};
let failures = 0;
try {
  const ask = async (): Promise<readonly Row[]> =>
    (await runStage(openAiCompatible, { options, inputs: { dataset } })).rows('generations');
  const rows = await ask();
  for (const row of rows) {
    const limit = Number(row.max_thinking_tokens);
    const waits = (row.interventions as { kind: string }[]).filter(({ kind }) => kind === 'extended').length;
    const problems = [
      ...(Number(row.thinking_tokens) > limit ? ['thinks beyond its maximum'] : []),
      ...(Number(row.answer_tokens) > 8 ? ['answers beyond its maximum'] : []),
      ...(row.thinking_end === 'forced' && Number(row.thinking_tokens) < limit ? ['was ended before its maximum'] : []),
      ...(waits > Number(row.ignore_end_count) ? ['waits too often'] : []),
    ];
    failures += problems.length;
    const end = `${row.thinking_end}, ${waits} waits${row.finish_disputed === null ? '' : `, ${row.finish_disputed}`}`;
    console.log(`${row.id}: ${row.thinking_tokens} thinking tokens, ${end}. ${problems.join('; ')}`);
  }
  const prefixes = rows.filter((row) => Number(row.shared_thinking_tokens) > 0).length;
  const again = await ask();
  const same = again.filter(
    (row, index) => row.thinking === rows[index]?.thinking && row.answer === rows[index]?.answer,
  );
  console.log(
    JSON.stringify({
      name: 'servers',
      rows: rows.length,
      failures,
      sharedPrefixes: prefixes,
      forced: rows.filter((row) => row.thinking_end === 'forced').length,
      extended: rows.filter((row) => (row.interventions as { kind: string }[]).some((one) => one.kind === 'extended'))
        .length,
      disputed: rows.filter((row) => row.finish_disputed !== null).length,
      sameAgain: same.length,
    }),
  );
} finally {
  child?.stdin.end();
}
process.exitCode = failures === 0 ? 0 : 1;
