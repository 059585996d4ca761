/** The class behind `cosmiconfig()`, which the package ships without types. See find-settings-file.ts for why. */
declare module 'cosmiconfig/dist/Explorer.js' {
  import type { CosmiconfigResult, Options } from 'cosmiconfig';

  export class Explorer {
    constructor(options: Options & { readonly moduleName: string; readonly metaConfigFilePath: string | null });
    search(from: string): Promise<CosmiconfigResult>;
  }
}
