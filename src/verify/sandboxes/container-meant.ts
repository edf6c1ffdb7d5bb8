/** Where testcontainers found an engine: a path, or a name and a port. As dockerode's modem keeps it. */
export interface FoundEngine {
  readonly socketPath?: unknown;
  readonly host?: unknown;
  readonly port?: unknown;
}

export function foundEngine(modem: object): FoundEngine {
  return {
    ...('socketPath' in modem ? { socketPath: modem.socketPath } : {}),
    ...('host' in modem ? { host: modem.host } : {}),
    ...('port' in modem ? { port: modem.port } : {}),
  };
}

export const isSocket = ({ socketPath }: FoundEngine): boolean => typeof socketPath === 'string';

/**
 * The engine that was found, as a URL, where it is another than DOCKER_HOST names, or none of this machine where that is not set. For
 * testcontainers prefers `tc.host` of ~/.testcontainers.properties, which may lead to a cloud, to DOCKER_HOST, and goes on to the next
 * engine when the one that was named does not answer; and production data must not go just anywhere. Pure.
 */
export function otherEngine(dockerHost: string | undefined, engine: FoundEngine): string | undefined {
  const found = isSocket(engine) ? `unix://${String(engine.socketPath)}` : `tcp://${String(engine.host)}:${String(engine.port)}`;
  if (dockerHost === undefined || dockerHost === '') return isSocket(engine) ? undefined : found;
  if (!URL.canParse(dockerHost)) return found;
  const wanted = new URL(dockerHost);
  if (wanted.hostname === '') return isSocket(engine) && wanted.pathname === engine.socketPath ? undefined : found;
  return !isSocket(engine) && wanted.hostname === engine.host && wanted.port === String(engine.port ?? '') ? undefined : found;
}
