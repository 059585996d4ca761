import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import type { Settings } from '../../core/config/settings.js';
import { parseAddress } from '../../core/control/address.js';
import { ControlClient } from '../../core/control/control-client.js';
import { ControlServer, type ControlServerOptions } from '../../core/control/control-server.js';
import type { Event } from '../../core/events/catalogue.js';
import type { Recipe } from '../../core/generated/simmer/control/v1/control.js';

export type ServerOptions = Partial<Omit<ControlServerOptions, 'settings' | 'tokens'>> & {
  readonly cpus?: number;
  /** The client's. */
  readonly token?: string;
  /** What the server takes besides. */
  readonly moreTokens?: readonly string[];
};

/** A server in this process on a home of its own, and a client of it. */
export class ControlHarness implements AsyncDisposable {
  readonly folder: string;
  server!: ControlServer;
  client!: ControlClient;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(options: ServerOptions = {}): Promise<ControlHarness> {
    const harness = new ControlHarness(await mkdtemp(join(tmpdir(), 'simmer-control-')));
    await harness.serve(options);
    return harness;
  }

  /** Starts a server on the home; the former one has to be stopped. */
  async serve({ cpus = 4, token, moreTokens = [], ...options }: ServerOptions = {}): Promise<void> {
    const settings = this.settings(cpus);
    const address = parseAddress(`unix:${join(this.folder, 'socket', 'control.sock')}`);
    const tokens = [...(token === undefined ? [] : [token]), ...moreTokens];
    this.server = await ControlServer.start({ settings, address, tokens, ...options });
    this.client = await ControlClient.open({
      address: this.server.address,
      ...(token === undefined ? {} : { token }),
    });
  }

  /** Of a server on the home. */
  settings(cpus: number): Settings {
    const resources = { cpus, memoryBytes: 4 * 2 ** 30, gpus: 1 };
    return { home: join(this.folder, 'home'), cacheFolder: join(this.folder, 'cache'), resources, sources: {} };
  }

  async stop(): Promise<void> {
    this.client[Symbol.dispose]();
    await this.server.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Fails where the server answers no more: what was done to it did it harm. */
  async expectServing(): Promise<void> {
    expect((await this.client.describeServer()).version).toMatch(/^\d/);
  }

  /** All events of a run, until it ends. */
  async events(runId: string, fromSequence = 1): Promise<readonly Event[]> {
    const events: Event[] = [];
    for await (const event of this.client.watch(runId, { fromSequence })) events.push(event);
    return events;
  }
}

/** A server of the test that calls this, gone after it. */
export async function startServer(options?: ServerOptions): Promise<ControlHarness> {
  const harness = await ControlHarness.start(options);
  onTestFinished(() => harness[Symbol.asyncDispose]());
  return harness;
}

/** Over TCP, with the token that its client has. */
export const token = 'a-token-that-is-long-enough';
export const tcp = { address: parseAddress('127.0.0.1:0'), token };

/** A recipe of a client. */
export function recipeText(value: string, changes: Partial<Omit<Recipe, 'source'>> = {}): Recipe {
  return { source: { $case: 'text', value }, fileName: 'my.yaml', params: {}, overrides: {}, ...changes };
}

/** Curation alone: done in a second. */
export const curation = `name: small
seed: 7
params: { count: 60 }
stages:
  pool: { uses: curation/generate-problems, with: { count: "\${{ params.count }}" } }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.pool.dataset }}" } }
`;
