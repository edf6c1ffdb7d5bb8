import { connect, createServer, type Socket } from 'node:net';

export interface SessionFault {
  /** Of the application_name with which the client introduces itself, e.g. `jetbackup pg_dump`. */
  readonly application: RegExp;
  /** When it strikes: as the session starts; after so many bytes of answers; or as the client sends what matches (which never arrives). */
  readonly at: 'start' | { readonly answeredBytes: number } | { readonly sends: RegExp };
  /** `cut`: the connection is reset. `stall`: it stays open, and nothing passes in either direction. */
  readonly kind: 'cut' | 'stall';
  /** Sessions that it strikes; default 1. */
  readonly times?: number;
}

export interface PostgresProxy extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Sessions that a fault has struck since the last `heal`. */
  readonly struck: number;
  /** The application_name of every session since the last `heal`, in the order of their beginning. */
  readonly applications: readonly string[];
  plant(fault: SessionFault): void;
  /** Forgets what is planted, and lets go on what is stalled. */
  heal(): void;
  stop(): Promise<void>;
}

/**
 * Stands before a PostgreSQL server and breaks the sessions of one program of ours, told by its application_name. Needs
 * connections without TLS: the startup packet is read.
 */
export async function startPostgresProxy(target: { host: string; port: number }): Promise<PostgresProxy> {
  let faults: { fault: SessionFault; left: number }[] = [];
  const sessions = new Set<{ client: Socket; upstream: Socket; release(): void }>();
  let struck = 0;
  let applications: string[] = [];

  function serve(client: Socket): void {
    const upstream = connect(target);
    const held: { to: Socket; chunk: Buffer }[] = [];
    let application: string | undefined;
    let introduction = Buffer.alloc(0);
    let answered = 0;
    let stalled = false;

    const release = () => {
      stalled = false;
      for (const { to, chunk } of held.splice(0)) to.write(chunk);
      upstream.resume();
    };
    const session = { client, upstream, release };
    sessions.add(session);
    const end = () => {
      sessions.delete(session);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.setNoDelay(true).on('error', end).on('close', end);

    const strikes = (matches: (fault: SessionFault) => boolean): boolean => {
      const entry = faults.find(
        ({ fault, left }) => left > 0 && application !== undefined && fault.application.test(application) && matches(fault),
      );
      if (entry === undefined) return false;
      entry.left -= 1;
      struck += 1;
      if (entry.fault.kind === 'stall') stalled = true;
      else for (const socket of [client, upstream]) socket.resetAndDestroy();
      return true;
    };
    const pass = (from: Socket, to: Socket, chunk: Buffer): void => {
      if (stalled) {
        held.push({ to, chunk });
        // Not the client, whose end must be noticed.
        if (from === upstream) from.pause();
      } else if (!to.destroyed && !to.write(chunk)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    };

    client.on('data', (chunk: Buffer) => {
      if (application === undefined) {
        introduction = Buffer.concat([introduction, chunk]);
        application = /application_name\0([^\0]*)\0/.exec(introduction.toString('latin1'))?.[1];
        if (application !== undefined) applications.push(application);
        if (application !== undefined && !stalled) strikes(({ at }) => at === 'start');
      }
      const text = chunk.toString('latin1');
      if (!stalled) strikes(({ at }) => typeof at === 'object' && 'sends' in at && at.sends.test(text));
      pass(client, upstream, chunk);
    });
    upstream.on('data', (chunk: Buffer) => {
      answered += chunk.byteLength;
      if (!stalled) strikes(({ at }) => typeof at === 'object' && 'answeredBytes' in at && answered > at.answeredBytes);
      pass(upstream, client, chunk);
    });
  }

  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const stop = () => {
    for (const { client, upstream } of sessions) {
      client.destroy();
      upstream.destroy();
    }
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    host: '127.0.0.1',
    port: address.port,
    get struck() {
      return struck;
    },
    get applications() {
      return applications;
    },
    plant: (fault) => {
      faults.push({ fault, left: fault.times ?? 1 });
    },
    heal() {
      faults = [];
      struck = 0;
      applications = [];
      for (const session of sessions) session.release();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
