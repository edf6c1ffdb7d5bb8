import { createConnection, createServer, type Socket } from 'node:net';
import { docker } from './sandboxes.ts';

export interface EngineByTcp extends AsyncDisposable {
  readonly url: string;
  stop(): Promise<void>;
  /** Again, at the same address. */
  start(): Promise<void>;
}

/**
 * The engine at an address of its own, which can go away. `hidesRyuk`: who asks for all containers, as testcontainers does to find a
 * Ryuk that runs already, sees none, so that a Ryuk of one process does not wait for the others that are connected to it.
 */
export async function engineByTcp({ hidesRyuk = false } = {}): Promise<EngineByTcp> {
  const { modem } = await docker();
  const { socketPath, host, port } = modem as { socketPath?: string; host?: string; port?: number };
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const engine = socketPath === undefined ? createConnection(Number(port), host) : createConnection(socketPath);
    for (const socket of [client, engine]) {
      open.add(socket);
      socket.on('error', () => {}).on('close', () => open.delete(socket));
    }
    engine.pipe(client);
    client.on('data', (chunk) => {
      const asksForAll = hidesRyuk && /^GET \/(v[\d.]+\/)?containers\/json\?? HTTP/.test(chunk.toString('latin1'));
      if (asksForAll) client.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]');
      else engine.write(chunk);
    });
    client.on('end', () => engine.end());
  });
  const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  await listen(0);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const stop = async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { url: `tcp://127.0.0.1:${address.port}`, stop, start: () => listen(address.port), [Symbol.asyncDispose]: stop };
}
