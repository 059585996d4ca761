import type { ServerResponse } from 'node:http';
import { memoryTable, type RunStageOptions, runStage, type StageResult } from 'simmerkit/testing';
import { afterEach, beforeEach } from 'vitest';
import { startChatServer } from '../../test/chat-server.js';
import type { HttpServer } from '../../test/http-server.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { distill } from './distill.stage.js';

/** A server that teaches, a new one for each test of a file. */
interface Teacher {
  /** What it answers to a question that it is asked for the nth time; `thought`, where a test says nothing else. */
  behave: (question: string, request: number, response: ServerResponse) => unknown;
  requests: { readonly question: string; readonly messages: readonly object[]; readonly at: number }[];
  readonly url: string;
  /** Of the stage: one for all its runs of a test. */
  readonly scratchFolder: string;
  timesAsked(question: string): number;
  /** Has `curation/distill` ask it. */
  distill(
    dataset: ReturnType<typeof questionTable>,
    options?: Readonly<Record<string, unknown>>,
    more?: Pick<RunStageOptions, 'key' | 'signal'>,
  ): Promise<StageResult>;
}

/** Called once in a file, outside of its tests. */
export function startTeacher(): Teacher {
  let server: HttpServer;
  const teacher = {
    behave: thought as Teacher['behave'],
    requests: [] as Teacher['requests'],
    scratchFolder: '',
    get url() {
      return server.url;
    },
    timesAsked: (question: string) => teacher.requests.filter((one) => one.question === question).length,
    distill: ((dataset, options = {}, more = {}) =>
      runStage(distill, {
        options: { url: server.url, model: 'r1', ...options },
        inputs: { dataset },
        scratchFolder: teacher.scratchFolder,
        ...more,
      })) as Teacher['distill'],
  };
  beforeEach(async () => {
    teacher.scratchFolder = await temporaryFolder();
    teacher.behave = thought;
    teacher.requests = [];
    server = await startChatServer(({ messages }, response) => {
      const question = messages.at(-1)?.content ?? '';
      teacher.requests.push({ question, messages, at: performance.now() });
      return teacher.behave(question, teacher.timesAsked(question), response);
    });
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
  });
  return teacher;
}

/** A body of a response, as servers send it. */
export const reply = (content: unknown, more: object = {}, finish = 'stop') => ({
  choices: [{ finish_reason: finish, message: { content, ...more } }],
  usage: { prompt_tokens: 100, completion_tokens: 1000 },
});

/** The reply to a question, which names it in trace and answer. */
export const thought = (question: string) => reply(`${question}!`, { reasoning_content: `about ${question}` });

/** Questions with an answer each. */
export const questionTable = (...questions: readonly string[]) =>
  memoryTable(
    { id: 'VARCHAR', question: 'VARCHAR', answer: 'VARCHAR' },
    questions.map((question) => ({ id: `id-${question}`, question, answer: 'gold' })),
  );

/** What a run of `curation/distill` says that it cost. */
export function dollarsOf({ events }: Pick<StageResult, 'events'>): number | undefined {
  const costs = events.flatMap(({ type, data }) =>
    type === 'metric.measured' && data.name === 'distill.dollars' ? [data.value] : [],
  );
  return costs[0];
}
