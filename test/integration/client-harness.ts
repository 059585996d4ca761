import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { problemId } from '../../plugins/curation/problem-id.js';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';
import { root } from '../python/check-python.js';
import { ControlHarness, recipeText } from './control-harness.js';

export const run = promisify(execFile);
export const examples = join(root, 'docs/examples/clients');
export const recipe = join(examples, 'recipe.yaml');
const token = 'a-token-that-is-long-enough';

export const three = { question: 'What is 1 + 2?', answer: '3' };
export const four = { question: 'What is 2 + 2?', answer: '4' };
export const [idOfThree, idOfFour] = [problemId(three.question), problemId(four.question)];

/** A model attempts both sums, and what it solves is dropped. */
const attempts = (url: string) => `name: attempted
params: { model: four }
stages:
  sums: { uses: curation/load, with: { sources: { sums: { path: sums.jsonl } } } }
  hard:
    uses: curation/difficulty
    with:
      dataset: \${{ stages.sums.dataset }}
      solvers: [{ label: served, url: "${url}", model: "\${{ params.model }}" }]
      grader: { uses: eval/exact }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.hard.dataset }}" } }
`;
/** What models say to everything; others say nothing. */
const answers: Readonly<Record<string, string>> = { three: '3', four: '4' };

/** Ids of runs up to `hard`, of the model three and then of four, and a file with the recipe. */
interface Attempted {
  readonly before: string;
  readonly after: string;
  readonly recipeFile: string;
}

/** A server that wants a token, and runs of it for the programs of clients to ask about. */
export class ClientHarness implements AsyncDisposable {
  private constructor(
    readonly control: ControlHarness,
    private readonly models: HttpServer,
    readonly attempted: Attempted,
    /** The file of a recipe without params. */
    readonly withoutParams: string,
  ) {}

  static async start(): Promise<ClientHarness> {
    const control = await ControlHarness.start({ address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, token });
    const withoutParams = join(control.folder, 'plain.yaml');
    writeFileSync(
      withoutParams,
      'name: plain\nstages: { few: { uses: curation/generate-problems, with: { count: 9 } } }\n',
    );
    const models = await startChatServer(({ model }) => {
      const content = answers[model];
      return content === undefined ? undefined : { choices: [{ finish_reason: 'stop', message: { content } }] };
    });
    const recipe = attempts(models.url);
    const recipeFile = join(control.folder, 'attempts.yaml');
    writeFileSync(recipeFile, recipe);
    const rows = [three, four].map((row) => `${JSON.stringify(row)}\n`).join('');
    writeFileSync(join(control.folder, 'home/server/recipes/sums.jsonl'), rows);
    const attempt = async (model: string) => {
      const request = { requestId: model, recipe: recipeText(recipe, { until: 'hard', params: { model } }) };
      const { runId } = (await control.client.createRun(request)).run!;
      expect((await control.events(runId)).at(-1)!.type).toBe('run.completed');
      return runId;
    };
    const attempted = { before: await attempt('three'), after: await attempt('four'), recipeFile };
    return new ClientHarness(control, models, attempted, withoutParams);
  }

  /** Of programs that are to find the server. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, SIMMER_SERVER: this.control.server.address, SIMMER_SERVER_TOKEN: token };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.control[Symbol.asyncDispose]();
    await this.models[Symbol.asyncDispose]();
  }
}
