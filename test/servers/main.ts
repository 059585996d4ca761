import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Row } from 'simmerkit';
import { memoryTable, runStage } from '../../core/testing/run-stage.js';
import { openAiCompatible } from '../../plugins/budget-forcing/openai-compatible.stage.js';
import { type ServerName, serverNames, startServer } from './start-server.js';

/**
 * `npm run check:servers -- --server llama.cpp --python PY --weights FILE` starts a real server on a model and has it
 * answer under thinking budgets; `--url URL` asks one that runs already. Exits 1 where a budget was not kept.
 */
const { values } = parseArgs({
  options: {
    server: { type: 'string', default: 'llama.cpp' },
    python: { type: 'string', default: 'python3' },
    weights: { type: 'string' },
    url: { type: 'string' },
    model: { type: 'string', default: 'model' },
  },
});
const name = serverNames.find((one) => one === values.server);
const { url, weights } = values;
if (name === undefined || (url === undefined && weights === undefined)) {
  const usage = `npm run check:servers -- --server NAME --python PY --weights PATH, where NAME is one of ${serverNames.join(', ')}`;
  process.stderr.write(`Say which server to ask: ${usage}; or --url URL --model NAME of one that runs.\n`);
  process.exit(2);
}

const maxAnswerTokens = 8;
/** What a server may count in besides: its end marker and white space around it. */
const serverSlack = 4;

const dataset = memoryTable(
  { id: 'VARCHAR', question: 'VARCHAR' },
  ['What is 17 + 25?', 'Name three colours.', 'Why is the sky blue?'].map((question, index) => ({
    id: `q${index}`,
    question,
  })),
);

async function ask(options: Readonly<Record<string, unknown>>): Promise<readonly Row[]> {
  return (await runStage(openAiCompatible, { options, inputs: { dataset } })).rows('generations');
}

function faultsOf(row: Row): string[] {
  const limit = Number(row.max_thinking_tokens) + (row.budget_held_by === 'server' ? serverSlack : 0);
  const waits = waitsOf(row);
  return [
    ...(Number(row.thinking_tokens) > limit ? ['thinks beyond its maximum'] : []),
    ...(row.budget_held_by === 'continuation' && Number(row.answer_tokens) > maxAnswerTokens
      ? ['answers beyond its maximum']
      : []),
    ...(row.thinking_end === 'forced' && Number(row.thinking_tokens) + 2 * serverSlack < limit
      ? ['was ended before its maximum']
      : []),
    ...(waits > Number(row.ignore_end_count) ? ['waits too often'] : []),
  ];
}

function waitsOf(row: Row): number {
  return (row.interventions as { kind: string }[]).filter(({ kind }) => kind === 'extended').length;
}

async function check(part: string, options: Readonly<Record<string, unknown>>) {
  const rows = await ask(options);
  let failures = 0;
  for (const row of rows) {
    const faults = faultsOf(row);
    failures += faults.length;
    const disputed = row.finish_disputed === null ? '' : `, ${row.finish_disputed}`;
    console.log(
      `${part}, ${row.id}: ${row.thinking_tokens} thinking tokens, ${row.thinking_end}, ${waitsOf(row)} waits${disputed}. ${faults.join('; ')}`,
    );
  }
  const again = await ask(options);
  const isSame = (row: Row, index: number) =>
    row.thinking === rows[index]?.thinking && row.answer === rows[index]?.answer;
  return {
    heldBy: [...new Set(rows.map((row) => row.budget_held_by))],
    rows: rows.length,
    failures,
    sharedPrefixes: rows.filter((row) => Number(row.shared_thinking_tokens) > 0).length,
    forced: rows.filter((row) => row.thinking_end === 'forced').length,
    extended: rows.filter((row) => waitsOf(row) > 0).length,
    disputed: rows.filter((row) => row.finish_disputed !== null).length,
    sameAgain: again.filter(isSame).length,
  };
}

async function checkServer(url: string, model: string): Promise<number> {
  const shared = { url, model, sampling: { maxAnswerTokens }, concurrency: 2 };
  const continuation = await check('continuation', {
    ...shared,
    // A model that was not trained to think writes sentences: the end of the first is the end of its thinking.
    thinkingFormat: { start: 'Let me think:', end: '. ', finalAnswerPrompt: 'Final Answer:' },
    sweep: { thinkingTokens: [8, 16, 48], ignore: [1, 2] },
  });
  const maxima = await check('maxima', { ...shared, thinkingFormat: 'r1', sweep: { thinkingTokens: [8, 16, 48] } });
  console.log(JSON.stringify({ name: 'servers', server: values.url ?? name, continuation, maxima }));
  return continuation.failures + maxima.failures;
}

/** transformers serve calls a model by its folder. */
function modelName(server: ServerName, folder: string): string {
  return server === 'transformers' ? folder : values.model;
}

if (url !== undefined) process.exitCode = (await checkServer(url, values.model)) === 0 ? 0 : 1;
else if (weights !== undefined) {
  const start = { python: values.python, weights: resolve(weights), model: values.model };
  await using server = await startServer(name, start);
  process.exitCode = (await checkServer(server.url, modelName(name, start.weights))) === 0 ? 0 : 1;
}
