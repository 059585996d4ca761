import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { diskError } from '../files/disk-error.js';
import type { Row } from './artifact.js';
import { ArtifactStore, type StageCacheEntry } from './artifact-store.js';

let folder: string;
let home: string;
let store: ArtifactStore;

beforeEach(async () => {
  folder = await temporaryFolder();
  home = join(folder, 'home');
  store = await ArtifactStore.open(home);
});

async function modelFolder(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const model = join(folder, name);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(model, path, '..'), { recursive: true });
    await writeFile(join(model, path), content);
  }
  return model;
}

const model = { 'config.json': '{}', 'model.safetensors': 'weights', 'sub/tokenizer.json': '[]' };

describe('a home', () => {
  it('is made only when something is to be kept', async () => {
    await expect(stat(home)).rejects.toMatchObject({ code: 'ENOENT' });
    await using writer = store.writer();
    await writer.writeReport({});
    expect(await readFile(join(home, 'format'), 'utf8')).toBe('1\n');
  });

  it('that is a link to nothing is refused, and nothing is made where it leads', async () => {
    await symlink(join(folder, 'nowhere'), home);
    await expect(store.ready()).rejects.toMatchObject({ code: 'home_damaged', kind: 'environment' });
    expect(await readdir(folder)).toEqual(['home']);
  });

  it('in a folder that takes none is refused', async () => {
    const nowhere = await ArtifactStore.open('/proc/simmer/home');
    await expect(nowhere.ready()).rejects.toMatchObject({
      kind: 'environment',
      message: expect.stringContaining('/proc'),
    });
  });

  it('of a newer Simmer is refused', async () => {
    await mkdir(home);
    await writeFile(join(home, 'format'), '2\n');
    await expect(ArtifactStore.open(home)).rejects.toMatchObject({ code: 'newer_format', kind: 'environment' });
  });

  it('with a format that is no number is refused', async () => {
    await mkdir(home);
    await writeFile(join(home, 'format'), 'png');
    await expect(ArtifactStore.open(home)).rejects.toMatchObject({ code: 'home_damaged' });
  });

  it('that is a file is refused', async () => {
    await writeFile(home, '');
    await expect(ArtifactStore.open(home)).rejects.toMatchObject({ code: 'home_damaged', kind: 'environment' });
  });

  it('keeps runs and scratch folders inside', async () => {
    expect(store.runFolder('quickstart-20260101-aa')).toBe(join(home, 'runs', 'quickstart-20260101-aa'));
    expect(() => store.runFolder('../elsewhere')).toThrowError(/cannot be the name/);
    const scratch = await store.scratchFolder('abc');
    expect((await stat(scratch)).isDirectory()).toBe(true);
    expect(await store.scratchFolder('abc')).toBe(scratch);
  });
});

describe('an artifact', () => {
  it('is found by its URI, in another store object too', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({ accuracy: 0.5 }, { name: 'tuned' });
    const found = await (await ArtifactStore.open(home)).open(report.uri);
    expect(found).toEqual(report);
    expect(found.metadata).toEqual({ name: 'tuned' });
    expect(JSON.parse(await readFile(found.path('report.json'), 'utf8'))).toEqual({ accuracy: 0.5 });
  });

  it('is the same for the same content, written twice or by many at once', async () => {
    const uris = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const own = await ArtifactStore.open(home);
        await using writer = own.writer();
        return (await writer.writeReport({ a: 1 })).uri;
      }),
    );
    expect(new Set(uris).size).toBe(1);
    expect(await readdir(join(home, 'artifacts', 'report'))).toHaveLength(1);
    expect(await readdir(join(home, 'staging'))).toEqual([]);
  });

  it('is written beside others of the same stage', async () => {
    await using writer = store.writer();
    const numbers = [...Array(8).keys()];
    const tables = await Promise.all(numbers.map((n) => writer.writeDataset([{ n }], { columns: { n: 'BIGINT' } })));
    for (const [n, table] of tables.entries()) for await (const row of table.rows()) expect(row).toEqual({ n });
    expect(new Set(tables.map(({ uri }) => uri)).size).toBe(8);
  });

  it('is another for other metadata', async () => {
    await using writer = store.writer();
    const first = await writer.writeReport({}, { seed: 1 });
    const second = await writer.writeReport({}, { seed: 2 });
    expect(first.uri).not.toBe(second.uri);
  });

  it('that is a table is refused without the types of its columns', async () => {
    await using writer = store.writer();
    const write = writer.writeDataset as (rows: readonly Row[], options?: object) => Promise<unknown>;
    for (const options of [undefined, {}]) {
      await expect(write.call(writer, [{ id: '1' }], options)).rejects.toThrow('the types of its columns: { columns:');
    }
  });

  it('that is not there is artifact_missing', async () => {
    const uri = `simmer://model/sha256-${'0'.repeat(64)}`;
    await expect(store.open(uri)).rejects.toMatchObject({ code: 'artifact_missing' });
    expect(await store.has(uri)).toBe(false);
    await expect(store.open('simmer://thing/sha256-1')).rejects.toMatchObject({ code: 'invalid_artifact_uri' });
  });

  it('with a manifest that was changed is refused', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({}, { accuracy: 0.5 });
    const manifest = join(report.folder, 'manifest.json');
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('0.5', '0.9'));
    await expect(store.open(report.uri)).rejects.toMatchObject({ code: 'artifact_damaged' });
    expect(await store.has(report.uri)).toBe(false);
  });

  it('of a newer format is refused, not taken for damaged', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({});
    await writeFile(join(report.folder, 'manifest.json'), JSON.stringify({ format: 2, kind: 'something new' }));
    await expect(store.open(report.uri)).rejects.toMatchObject({ code: 'newer_format' });
  });

  it('with changed bytes is found out by verify', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({ a: 1 });
    await store.verify(report.uri);
    const file = report.path('report.json');
    await writeFile(file, (await readFile(file, 'utf8')).replace('1', '2'));
    await expect(store.verify(report.uri)).rejects.toMatchObject({
      code: 'artifact_damaged',
      message: expect.stringContaining('report.json'),
    });
  });

  it('that lost a file is replaced when it is made again', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({ a: 1 });
    await rm(report.path('report.json'));
    expect(() => report.path('report.json')).toThrowError(/is not there/);
    await expect(store.open(report.uri)).rejects.toMatchObject({ code: 'artifact_file_missing' });
    expect((await writer.writeReport({ a: 1 })).uri).toBe(report.uri);
    await store.verify(report.uri);
  });

  it('names the files that it has where it is asked for another', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({});
    expect(() => report.path('table.parquet')).toThrowError(/has no file "table.parquet"/);
  });

  it('says of a table what its file holds, whether its rows were written or derived', async () => {
    await using writer = store.writer();
    const rows = Array.from({ length: 20_000 }, (_, index) => ({ id: `row ${index}` }));
    const metadata = { task: 'rows' };
    const written = await writer.writeDataset(rows, { columns: { id: 'VARCHAR' }, metadata });
    const derived = await writer.deriveDataset(written, { positions: Uint32Array.of(0, 9000, 19_999) });
    for (const { uri } of [written, derived]) await store.verify(uri);
    expect(derived.metadata).toEqual({ ...metadata, rowCount: 3, columns: { id: 'VARCHAR' } });
  });

  it('is the same artifact where all of its rows are taken', async () => {
    await using writer = store.writer();
    const rows = Array.from({ length: 20_000 }, (_, index) => ({ id: `row ${index}` }));
    const dataset = await writer.writeDataset(rows, { columns: { id: 'VARCHAR' } });
    const positions = Uint32Array.from(rows.keys());
    expect(await writer.deriveDataset(dataset, { positions })).toBe(dataset);
    const generations = await writer.writeGenerations(rows, { columns: { id: 'VARCHAR' } });
    expect((await writer.deriveDataset(generations, { positions })).type).toBe('dataset');
  });

  it('is written from what can be gone through', async () => {
    await using writer = store.writer();
    const writing = writer.writeDataset(Promise.resolve([]) as never, { columns: { id: 'VARCHAR' } });
    await expect(writing).rejects.toThrow('from an array or an iterable of rows, not from a promise: await it');
  });
});

describe('a model', () => {
  it('is moved into the store', async () => {
    await using writer = store.writer();
    const source = await modelFolder('export', model);
    const artifact = await writer.commitModel(source, { parameters: 7 });
    await expect(stat(source)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(artifact.files.map(({ path }) => path)).toEqual(['config.json', 'model.safetensors', 'sub/tokenizer.json']);
    expect(artifact.files[1]).toEqual({
      path: 'model.safetensors',
      size: 7,
      sha256: createHash('sha256').update('weights').digest('hex'),
    });
    expect(await readFile(artifact.path('sub/tokenizer.json'), 'utf8')).toBe('[]');
    await store.verify(artifact.uri);
  });

  it('can be committed again after a death just before the rename', async () => {
    await using writer = store.writer();
    const first = await writer.commitModel(await modelFolder('export', model));
    const left = await modelFolder('left', {
      ...model,
      'manifest.json': await readFile(join(first.folder, 'manifest.json'), 'utf8'),
    });
    expect((await writer.commitModel(left)).uri).toBe(first.uri);
    await expect(stat(left)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('with a manifest.json of its own is refused and left alone', async () => {
    await using writer = store.writer();
    const source = await modelFolder('export', { ...model, 'manifest.json': '{"name":"app"}' });
    await expect(writer.commitModel(source)).rejects.toMatchObject({ code: 'model_has_manifest' });
    expect(await readFile(join(source, 'manifest.json'), 'utf8')).toBe('{"name":"app"}');
  });

  it('of links, of nothing, or of no folder is refused', async () => {
    await using writer = store.writer();
    const linked = await modelFolder('linked', model);
    await symlink('config.json', join(linked, 'link.json'));
    await expect(writer.commitModel(linked)).rejects.toMatchObject({ code: 'not_plain_files' });
    await mkdir(join(folder, 'empty'));
    await expect(writer.commitModel(join(folder, 'empty'))).rejects.toMatchObject({ code: 'empty_model' });
    await expect(writer.referenceModel(join(folder, 'nowhere'))).rejects.toMatchObject({ code: 'not_a_folder' });
  });

  it('that is referenced stays where it is, with links as a download cache has them', async () => {
    const blobs = await modelFolder('blobs', { abc: 'weights' });
    const snapshot = await modelFolder('snapshot', { 'config.json': '{}' });
    await symlink(join(blobs, 'abc'), join(snapshot, 'model.safetensors'));
    await using writer = store.writer();
    const artifact = await writer.referenceModel(snapshot);
    expect(artifact.folder).toBe(snapshot);
    expect(artifact.path('model.safetensors')).toBe(join(snapshot, 'model.safetensors'));
    expect(await readdir(join(home, 'artifacts', 'model', artifact.uri.slice(-64)))).toEqual(['manifest.json']);
    expect(artifact.uri).toBe(
      (await writer.commitModel(await modelFolder('export', { 'config.json': '{}', 'model.safetensors': 'weights' })))
        .uri,
    );
  });

  it('that is referenced and gone, or of another size, is artifact_file_missing until it is referenced elsewhere', async () => {
    await using writer = store.writer();
    const source = await modelFolder('cache', model);
    const artifact = await writer.referenceModel(source);
    await writeFile(join(source, 'config.json'), '{ }');
    await expect(store.open(artifact.uri)).rejects.toMatchObject({
      code: 'artifact_file_missing',
      message: expect.stringContaining('3 bytes, not 2'),
    });
    await rm(source, { recursive: true });
    await expect(store.open(artifact.uri)).rejects.toMatchObject({ code: 'artifact_file_missing' });
    const elsewhere = await modelFolder('elsewhere', model);
    expect((await writer.referenceModel(elsewhere)).uri).toBe(artifact.uri);
    expect((await store.open(artifact.uri)).folder).toBe(elsewhere);
  });
});

it('opens none but models to see what artifacts refer to', async () => {
  await using writer = store.writer();
  const report = await writer.writeReport({ passed: 1 });
  const own = await writer.commitModel(await modelFolder('own', model));
  const referring = await writer.referenceModel(own.folder, { of: 'own' });
  await writeFile(join(report.folder, 'manifest.json'), '{"format": 2}');
  expect([...(await store.withReferences([report.uri, referring.uri]))]).toEqual([report.uri, referring.uri, own.uri]);
});

describe('a writer', () => {
  it('gives temporary folders that go with it', async () => {
    const writer = store.writer();
    const temporary = await writer.temporaryFolder();
    await writeFile(join(temporary, 'x'), '');
    expect(await writer.temporaryFolder()).not.toBe(temporary);
    await writer[Symbol.asyncDispose]();
    await expect(stat(temporary)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(writer.temporaryFolder()).rejects.toThrow(/stage has ended/);
  });

  it('leaves nothing behind where rows throw', async () => {
    await using writer = store.writer();
    async function* rows(): AsyncIterable<Row> {
      yield { id: 'a' };
      throw new Error('source broke');
    }
    await expect(writer.writeDataset(rows(), { columns: { id: 'VARCHAR' } })).rejects.toThrow('source broke');
    const [staging] = await readdir(join(home, 'staging'));
    expect((await readdir(join(home, 'staging', staging!))).filter((name) => !name.startsWith('.lock'))).toEqual([
      'owner.json',
    ]);
    expect(await readdir(home)).not.toContain('artifacts');
  });

  it('says so where its folder was removed meanwhile', async () => {
    await using writer = store.writer();
    const staging = join(home, 'staging');
    async function* rows(): AsyncIterable<Row> {
      yield { id: 'a' };
      await rm(staging, { recursive: true });
    }
    await expect(writer.writeDataset(rows(), { columns: { id: 'VARCHAR' } })).rejects.toMatchObject({
      code: 'home_damaged',
      kind: 'environment',
      message: expect.stringMatching(new RegExp(`^The folder ${staging}/.* was removed`)),
    });
  });

  it('says that the stage has ended of what is still being written then', async () => {
    const writer = store.writer();
    async function* rows(): AsyncIterable<Row> {
      yield { id: 'a' };
      await writer[Symbol.asyncDispose]();
    }
    await expect(writer.writeDataset(rows(), { columns: { id: 'VARCHAR' } })).rejects.toThrow(/^The stage has ended/);
  });

  it('says which folder has no space left', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const told = diskError(full, home);
    expect(told).toMatchObject({ code: 'no_disk_space', kind: 'environment', message: expect.stringContaining(home) });
    const duckdb = new Error('IO Error: Could not write file "/x": No space left on device');
    expect(diskError(duckdb, home)).toMatchObject({ code: 'no_disk_space' });
  });
});

describe('the stage cache', () => {
  const entry = (uri: string): StageCacheEntry => ({
    format: 1,
    key: 'k1',
    uses: 'curation/load',
    outputs: { dataset: uri },
    runId: 'r',
    createdAt: '2026-01-01T00:00:00.000Z',
    seconds: 1,
    facts: [{ type: 'metric.measured', data: { name: 'rows', value: 3 } }],
  });

  it('gives what was recorded, while its artifacts are whole', async () => {
    await using writer = store.writer();
    const report = await writer.writeReport({});
    const recorded = entry(report.uri);
    expect(await store.stages.lookup('k1')).toBeUndefined();
    await store.stages.record('k1', recorded);
    expect(await (await ArtifactStore.open(home)).stages.lookup('k1')).toEqual(recorded);
    await rm(report.path('report.json'));
    expect(await store.stages.lookup('k1')).toBeUndefined();
  });

  it('takes an entry that cannot be read, or is of another key, for none', async () => {
    await using writer = store.writer();
    await store.stages.record('k1', entry((await writer.writeReport({})).uri));
    const text = await readFile(join(home, 'cache', 'k1.json'), 'utf8');
    await writeFile(join(home, 'cache', 'k2.json'), text);
    await writeFile(join(home, 'cache', 'k1.json'), text.slice(0, -9));
    expect(await store.stages.lookup('k1')).toBeUndefined();
    expect(await store.stages.lookup('k2')).toBeUndefined();
  });
});

describe('opening a store', () => {
  it('does not load DuckDB', async () => {
    const source = new URL('./artifact-store.ts', import.meta.url);
    const imports = await staticImports(source, new Set());
    expect([...imports]).toContain(new URL('./stored-artifact.ts', import.meta.url).href);
    expect([...imports].filter((name) => /duckdb|table-file/.test(name))).toEqual([]);
  });
});

async function staticImports(file: URL, seen: Set<string>): Promise<Set<string>> {
  if (seen.has(file.href)) return seen;
  seen.add(file.href);
  const text = await readFile(file, 'utf8');
  for (const [, name] of text.matchAll(/^(?:import|export)(?! type)[^;]*? from '([^']+)';/gms)) {
    if (name!.startsWith('.')) await staticImports(new URL(name!.replace(/\.js$/, '.ts'), file), seen);
    else seen.add(name!);
  }
  return seen;
}
