import {
  type LaunchResponse,
  type ResolveLaunchResponse,
  Transport,
} from '../../generated/simmer/plugin/v1/launcher.js';
import type { ResourcesNeeded } from '../../generated/simmer/plugin/v1/planning.js';
import { present } from '../../present.js';
import type { Resources } from '../resources.js';
import { brokeContract } from './broke-contract.js';

/** @throws UserError `plugin_broke_contract` */
export function toLaunchSettings({ transport, startSeconds, processes }: ResolveLaunchResponse) {
  if (startSeconds !== undefined && !(startSeconds > 0 && Number.isFinite(startSeconds))) {
    throw brokeContract(`gave a trainer ${startSeconds} seconds to start`);
  }
  if (processes === 0) throw brokeContract('would start a trainer as no process at all');
  return {
    transport: transport === Transport.TRANSPORT_TCP ? ('tcp' as const) : ('unix' as const),
    ...present({ startSeconds, processes }),
  };
}

/** The id of what is ended later, with its group: never 1, as whose group all processes count. @throws UserError `plugin_broke_contract` */
export function toProcessId({ processId }: LaunchResponse): number {
  if (processId === 0) throw brokeContract('launched a trainer without the id of a process');
  if (processId > 1 && processId !== process.pid) return processId;
  const whose = processId === 1 ? "that of the system's first process" : "Simmer's own";
  throw brokeContract(`gave ${processId} as the id of the process that it launched, which is ${whose}`);
}

export function fromResources({ cpus, memoryBytes, gpus, nodes, hardware }: Resources): ResourcesNeeded {
  const bytes = memoryBytes === undefined ? undefined : BigInt(Math.ceil(memoryBytes));
  return { cpus, memoryBytes: bytes, gpus, nodes, hardware };
}
