import { spawn } from 'node:child_process';
import path from 'node:path';

export interface CommandLineOptions {
  /** The folder with the `jetbackup` command. */
  readonly bin: string;
  /** Where the commands are typed. */
  readonly home: string;
  readonly clientTools: string;
  /** Environment variables that the user has set. */
  readonly settings: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Shows and runs `jetbackup …` as a user types it; its output goes to the terminal. Throws unless it exits 0. */
export function commandLine({ bin, home, clientTools, settings, signal }: CommandLineOptions): (...args: string[]) => Promise<void> {
  // What belongs to the user's own installation of jetbackup or PostgreSQL must not reach into the demo.
  const inherited = Object.entries(process.env).filter(([name]) => !/^(PG|JETBACKUP_|DATABASE_URL$)/.test(name));
  const folders = [bin, path.dirname(process.execPath), clientTools, process.env['PATH'] ?? ''];
  const env = { ...Object.fromEntries(inherited), ...settings, PATH: folders.join(path.delimiter) };

  return async (...args) => {
    signal.throwIfAborted();
    console.log(`      $ jetbackup ${args.join(' ')}`);
    // A session of its own: Ctrl-C at the terminal reaches the demo alone, which passes it on once.
    const child = spawn(path.join(bin, 'jetbackup'), args, { cwd: home, env, stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    const stop = () => child.kill('SIGINT');
    signal.addEventListener('abort', stop, { once: true });
    try {
      const status = await new Promise<string>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code, killedBy) => resolve(String(code ?? killedBy)));
      });
      signal.throwIfAborted();
      if (status !== '0') throw new Error(`jetbackup ${args.join(' ')} ended with ${status}`);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  };
}
