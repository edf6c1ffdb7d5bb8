import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './waiting.ts';

/** The socket on which a service manager listens (sd_notify(3)). */
export interface NotifySocket extends AsyncDisposable {
  readonly path: string;
  /** Datagrams so far. */
  received(): readonly string[];
}

// Node.js has no datagram sockets on the file system. What is passed along (systemd-notify waits for it to be closed) recv() drops.
const RECEIVER = `
import json, socket, sys
listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listening.bind(sys.argv[1])
print(json.dumps("listening"), flush=True)
while True:
    print(json.dumps(listening.recv(65536).decode()), flush=True)
`;

/** Undefined where there is all that a test of systemd's protocol needs; else what is missing. */
export function missingForNotify(): string | undefined {
  for (const program of ['systemd-notify', 'python3']) {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
    } catch {
      return `there is no ${program}`;
    }
  }
  return undefined;
}

export async function openNotifySocket(): Promise<NotifySocket> {
  const folder = await mkdtemp(join(tmpdir(), 'jetbackup-notify-'));
  const path = join(folder, 'notify');
  const child = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const received = () =>
    output
      .split('\n')
      .slice(0, -1)
      .map((line) => String(JSON.parse(line)));
  await until('the notify socket is there', () => received().length > 0);
  return {
    path,
    received: () => received().slice(1),
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}
