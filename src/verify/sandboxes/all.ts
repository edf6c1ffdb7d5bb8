import type { ConnectionSettings } from '../../postgres/connection.ts';
import type { SandboxProvider } from '../sandbox.ts';
import { autoSandboxes } from './auto.ts';
import { type ContainerDeps, type ContainerOptions, containerSandboxes } from './container.ts';
import { type LocalSandboxDeps, type LocalSandboxOptions, localSandboxes } from './local.ts';
import { serverSandboxes } from './server.ts';

/** A kind of sandbox by name; `auto` is a container where there is an engine, else this machine's own programs. Or a server to use. */
export type Wanted = 'auto' | 'container' | 'local' | ConnectionSettings;

export function sandboxesFor(
  wanted: Wanted,
  options: { readonly container: ContainerOptions; readonly local: LocalSandboxOptions },
  deps: ContainerDeps & LocalSandboxDeps,
): SandboxProvider {
  if (typeof wanted !== 'string') return serverSandboxes(wanted);
  const container = () => containerSandboxes(options.container, deps);
  const local = () => localSandboxes(options.local, deps);
  if (wanted === 'auto') return autoSandboxes(container(), local(), deps.log);
  return wanted === 'container' ? container() : local();
}
