import { lookup } from 'node:dns/promises';
import { createServer } from 'node:net';
import { JetbackupError } from '../../core/errors.ts';
import type { Docker } from './container-engine.ts';

/**
 * A network for one sandbox, from which nothing beyond the engine's machine can be reached. That machine itself can, at the bridge's
 * address, by which we reach the server, too: without one (`gateway_mode_ipv4=isolated`, Docker 28) nobody would reach it. Where this
 * machine stands on it, the server is spoken to at its own address, which needs no open port and has more throughput. Elsewhere (an engine in a virtual machine, on another machine,
 * or this process in a container) ports have to be published, which internal networks do not do; that one hides no addresses, so
 * that no answer from outside finds back. Resolves to whether this machine stands on it.
 */
export async function createNetwork(
  docker: Docker,
  { name, labels }: { readonly name: string; readonly labels: Record<string, string> },
  isOwnAddress: IsOwnAddress,
): Promise<boolean> {
  const create = async (Internal: boolean) => {
    const Options: Record<string, string> = Internal ? {} : { 'com.docker.network.bridge.enable_ip_masquerade': 'false' };
    return await docker.createNetwork({ Name: name, Driver: 'bridge', Internal, CheckDuplicate: true, Labels: labels, Options });
  };
  const network = await create(true);
  const { IPAM } = await network.inspect();
  for (const { Gateway } of IPAM?.Config ?? []) if (Gateway !== undefined && (await isOwnAddress(Gateway))) return true;
  await network.remove();
  await create(false);
  return false;
}

/** Whether an address is one of this machine's. */
export type IsOwnAddress = (address: string) => Promise<boolean>;

/** By binding to it: a bridge without a container on it is in no list of interfaces yet. */
export async function canBindTo(address: string): Promise<boolean> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(0, address, () => server.close(() => resolve(true)));
  });
}

/**
 * Addresses of the engine's machine to publish a port at, the narrowest first: loopback where the engine is local, else the address by
 * which it is reached. One behind address translation does not know that address as its own: all of them is what remains then. The
 * image has no certificate, so what goes to another machine goes in clear: `plaintext` says that this is wanted, else
 * `sandbox-unavailable`.
 */
export async function publishingAddresses(
  host: string,
  { plaintext, isOwnAddress }: { readonly plaintext: boolean; readonly isOwnAddress: IsOwnAddress },
): Promise<readonly string[]> {
  if (host === 'localhost') return ['127.0.0.1'];
  const { address } = await lookup(host);
  if (address.startsWith('127.') || address === '::1' || (await isOwnAddress(address))) return [address];
  if (plaintext) return [address, '0.0.0.0'];
  throw new JetbackupError(
    'sandbox-unavailable',
    `the container engine is reached at ${host}, and what is restored would travel to it without encryption`,
    {
      hint:
        "Run the verification on the engine's own machine (from within a container: one on the host's network), or name a server with " +
        'TLS (verify.sandbox). Where the way there is encrypted, as in the tunnel of a VPN, or nobody else listens: verify.plaintext: true.',
    },
  );
}

/** What an engine says that cannot publish at an address. */
export function isForeignAddress(error: unknown): boolean {
  return error instanceof Error && /cannot assign requested address|can't assign requested address|not available/i.test(error.message);
}
