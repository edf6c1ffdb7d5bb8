import { connect, createServer, type Socket } from 'node:net';

export interface TcpFault {
  /** `up`: from the client to the server; `down`: the answers. */
  readonly direction: 'up' | 'down';
  /** Bytes in that direction, over all connections since the fault was planted, that pass unharmed. */
  readonly afterBytes: number;
  /** `cut`: that connection is reset. `stall`: it stays open and nothing passes any more. */
  readonly kind: 'cut' | 'stall';
}

export interface TcpProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Connections taken so far. */
  readonly connections: number;
  /** Faults that have struck. */
  readonly struck: number;
  /** Plants a fault; it strikes once. Several wait in line. */
  plant(fault: TcpFault): void;
  /** Resets every open connection. */
  cutAll(): void;
  /** From now on each new connection is reset at once; `accept` ends it. */
  refuse(): void;
  accept(): void;
  stop(): Promise<void>;
}

/** Stands between a client and any TCP server, and breaks the line where told. */
export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const open = new Set<Socket>();
  const faults: { fault: TcpFault; left: number }[] = [];
  let connections = 0;
  let struck = 0;
  let refusing = false;

  function pass(from: Socket, to: Socket, direction: 'up' | 'down'): void {
    let stalled = false;
    from.on('data', (chunk: Buffer) => {
      if (stalled) return;
      const entry = faults.find(({ fault }) => fault.direction === direction);
      if (entry !== undefined && entry.left < chunk.byteLength) {
        faults.splice(faults.indexOf(entry), 1);
        struck += 1;
        to.write(chunk.subarray(0, entry.left));
        if (entry.fault.kind === 'stall') {
          stalled = true;
          return;
        }
        from.resetAndDestroy();
        to.end();
        setImmediate(() => to.resetAndDestroy());
        return;
      }
      if (entry !== undefined) entry.left -= chunk.byteLength;
      if (!to.write(chunk)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    from.on('end', () => {
      if (!stalled) to.end();
    });
  }

  const server = createServer((client) => {
    connections += 1;
    if (refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(target);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        open.delete(socket);
        other.destroy();
      });
    }
    pass(client, upstream, 'up');
    pass(upstream, client, 'down');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');

  const cutAll = () => {
    for (const socket of open) socket.resetAndDestroy();
  };
  const stop = () => {
    cutAll();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    host: '127.0.0.1',
    port: address.port,
    get connections() {
      return connections;
    },
    get struck() {
      return struck;
    },
    plant: (fault) => {
      faults.push({ fault, left: fault.afterBytes });
    },
    cutAll,
    refuse: () => {
      refusing = true;
    },
    accept: () => {
      refusing = false;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
