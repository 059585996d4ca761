import type { ServiceIdentifier } from 'inversify';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import type { Settings } from '../config/settings.js';
import type { LogFileSystem } from '../events/log-file-system.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { OpenRunScope, RunInfo, RunResource, SinkSource } from './run-scope.js';

// Bound once a core. None of these may depend on what is bound for a run.

export const SettingsToken: ServiceIdentifier<Settings> = Symbol('Settings');
export const PluginCatalogToken: ServiceIdentifier<PluginCatalog> = Symbol('PluginCatalog');
export const ArtifactStoreToken: ServiceIdentifier<ArtifactStore> = Symbol('ArtifactStore');
/** What logs are written with; fault injection binds another. */
export const LogFileSystemToken: ServiceIdentifier<LogFileSystem> = Symbol('LogFileSystem');
export const OpenRunScopeToken: ServiceIdentifier<OpenRunScope> = Symbol('OpenRunScope');

// Bound once a run, in its child container.

export const RunInfoToken: ServiceIdentifier<RunInfo> = Symbol('RunInfo');
/** Everything that has to end before the run's last event. */
export const RunResourceToken: ServiceIdentifier<RunResource> = Symbol('RunResource');

// Contribution points: bound in the core and in a run alike; a run sees both.

/** The built-in sinks, those of the recipe, and those of the caller. */
export const SinkSourceToken: ServiceIdentifier<SinkSource> = Symbol('SinkSource');
