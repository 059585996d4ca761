import { Container } from 'inversify';
import { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Holds } from '../artifacts/holds.js';
import type { Settings } from '../config/settings.js';
import { RunManager } from '../engine/run-manager.js';
import { reportSink } from '../engine/sinks/write-report.js';
import {
  ArtifactStoreToken,
  LogFileSystemToken,
  OpenRunScopeToken,
  PluginCatalogToken,
  SettingsToken,
  SinkSourceToken,
} from '../engine/tokens.js';
import { type LogFileSystem, nodeLogFileSystem } from '../events/log-file-system.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { runScopes } from './run-scope.js';

interface CoreOptions {
  readonly settings: Settings;
  readonly catalog: PluginCatalog;
  /** Sinks that every run has, by `uses`. @default ['sinks/report'] */
  readonly builtInSinks?: readonly string[];
  /** What logs are written with: for fault injection. */
  readonly logFileSystem?: LogFileSystem;
  /** Of all cores of this process that have the home. @default its own */
  readonly holds?: Holds;
}

/** Composes a core: opens the artifact store of the settings' home, and binds what all runs share. */
export async function createRunManager(options: CoreOptions): Promise<RunManager> {
  const core = new Container({ defaultScope: 'Singleton' });
  core.bind(SettingsToken).toConstantValue(options.settings);
  core.bind(PluginCatalogToken).toConstantValue(options.catalog);
  core.bind(ArtifactStoreToken).toConstantValue(await ArtifactStore.open(options.settings.home, options.holds));
  core.bind(LogFileSystemToken).toConstantValue(options.logFileSystem ?? nodeLogFileSystem);
  for (const uses of options.builtInSinks ?? [reportSink]) {
    core.bind(SinkSourceToken).toConstantValue({ kind: 'plugin', uses, options: {} });
  }
  core.bind(OpenRunScopeToken).toConstantValue(runScopes(core));
  core.bind(RunManager).toSelf();
  return core.get(RunManager);
}
