#!/usr/bin/env node
import module from 'node:module';

// Node 22.8 and later keep the compiled code of what is imported after this. Older ones do not have the function.
(module as { readonly enableCompileCache?: () => unknown }).enableCompileCache?.();

const { main } = await import('./program.js');
await main(process.argv.slice(2));
