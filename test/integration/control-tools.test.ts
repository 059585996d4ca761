import { join } from 'node:path';
import { create, createFileRegistry, fromBinary, fromJson, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { controlServiceName } from '../../core/control/control-server.js';
import { simmerPackage } from '../../core/plugin/locate.js';
import { checkHealth } from '../../core/process/grpc-health.js';
import { ControlHarness, curation } from './control-harness.js';

let harness: ControlHarness;
beforeAll(async () => {
  harness = await ControlHarness.start();
});
afterAll(() => harness[Symbol.asyncDispose]());

/** What grpcurl asks first. */
interface Reflection {
  ServerReflectionInfo(): {
    write(request: object): void;
    end(): void;
    once(name: 'data', act: (response: Record<string, never>) => void): void;
    once(name: 'error', act: (error: Error) => void): void;
  };
}

async function reflect(request: object): Promise<Record<string, unknown>> {
  const folder = join(simmerPackage.root, 'node_modules/@grpc/reflection/build/proto');
  const definition = loadSync('grpc/reflection/v1/reflection.proto', { includeDirs: [folder], keepCase: true });
  const loaded = loadPackageDefinition(definition) as never as {
    grpc: { reflection: { v1: { ServerReflection: new (address: string, given: object) => Reflection } } };
  };
  const client = new loaded.grpc.reflection.v1.ServerReflection(harness.server.address, credentials.createInsecure());
  const call = client.ServerReflectionInfo();
  call.write(request);
  return new Promise((resolve, reject) => {
    call.once('error', reject);
    call.once('data', (response) => {
      call.end();
      resolve(response);
    });
  });
}

/** The files that declare a symbol, the imported ones first: each is asked for by the name that others import it by. */
async function filesOf(question: object, known: Set<string> = new Set()): Promise<readonly FileDescriptorProto[]> {
  const answer = (await reflect(question)) as { file_descriptor_response?: { file_descriptor_proto: Buffer[] } };
  const [bytes] = answer.file_descriptor_response?.file_descriptor_proto ?? [];
  if (bytes === undefined) throw new Error(`Reflection answers ${JSON.stringify(answer)}.`);
  const file = fromBinary(FileDescriptorProtoSchema, bytes);
  if (known.has(file.name)) return [];
  known.add(file.name);
  const imported: FileDescriptorProto[] = [];
  for (const name of file.dependency) imported.push(...(await filesOf({ file_by_filename: name }, known)));
  return [...imported, file];
}

/** Makes a call as grpcurl does, which knows nothing but what reflection tells it. */
async function callByReflection(service: string, method: string, request: JsonValue): Promise<JsonValue> {
  const file = await filesOf({ file_containing_symbol: service });
  const described = createFileRegistry(create(FileDescriptorSetSchema, { file: [...file] })).getService(service)!;
  const { input, output } = described.methods.find(({ name }) => name === method)!;
  const client = new Client(harness.server.address, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/${service}/${method}`,
      (message: JsonValue) => Buffer.from(toBinary(input, fromJson(input, message))),
      (bytes: Buffer) => toJson(output, fromBinary(output, bytes)),
      request,
      (error, response) => {
        client.close();
        if (error === null) resolve(response!);
        else reject(error);
      },
    );
  });
}

it('tools find the services by reflection', async () => {
  const { list_services_response: listed } = await reflect({ list_services: '' });
  const names = (listed as { service: { name: string }[] }).service.map(({ name }) => name);
  expect(names.toSorted()).toEqual(['grpc.health.v1.Health', controlServiceName]);
});

it('tools make calls by reflection alone, with maps and the types of other files', async () => {
  const recipe = { text: curation, params: { count: '3' }, overrides: { seed: '8' } };
  const { run } = (await callByReflection(controlServiceName, 'CreateRun', { requestId: 'a', recipe })) as {
    run: { runId: string };
  };
  const { runs } = (await callByReflection(controlServiceName, 'ListRuns', {})) as { runs: object[] };
  expect(runs).toEqual([
    expect.objectContaining({ runId: run.runId, createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) }),
  ]);
  const { planJson } = (await callByReflection(controlServiceName, 'GetRun', { runId: run.runId })) as {
    planJson: string;
  };
  expect(JSON.parse(planJson)).toMatchObject({ seed: 8, params: { count: 3 } });
  const health = await callByReflection('grpc.health.v1.Health', 'Check', { service: controlServiceName });
  expect(health).toEqual({ status: 'SERVING' });
});

it('the health of the service is told as grpc.health.v1 has it', async () => {
  const isServing = await checkHealth({
    address: harness.server.address,
    service: controlServiceName,
    channelOptions: {},
    timeoutMilliseconds: 60_000,
  });
  expect(isServing).toBe(true);
});
