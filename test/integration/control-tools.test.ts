import { join } from 'node:path';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { controlServiceName } from '../../core/control/control-server.js';
import { simmerPackage } from '../../core/plugin/locate.js';
import { checkHealth } from '../../core/process/grpc-health.js';
import { ControlHarness } from './control-harness.js';

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

it('tools find the service and its messages by reflection', async () => {
  const { list_services_response: listed } = await reflect({ list_services: '' });
  expect((listed as { service: { name: string }[] }).service.map(({ name }) => name)).toContain(controlServiceName);
  const { file_descriptor_response: found } = await reflect({
    file_containing_symbol: `${controlServiceName}.WatchRun`,
  });
  const files = (found as { file_descriptor_proto: Buffer[] }).file_descriptor_proto;
  expect(Buffer.concat(files).includes('WatchRunRequest')).toBe(true);
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
