import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';

export interface HttpFault {
  /** Which requests it is about; gets the request without its body. */
  readonly when: (request: IncomingMessage) => boolean;
  /**
   * `status` with an S3 error of that code instead of an answer; `lose-answer`: the server does what was asked, and the
   * connection breaks before its answer; `hang`: nothing ever comes; `error-in-200`: done, and answered by 200 with an error inside;
   * `swallow`: 200 at once, and the server never hears of it; `in-turn`: passed on once the one before has been answered, or has
   * been under way for 50 ms, which makes a server look as if it did one thing at a time.
   */
  readonly answer: { readonly status: number; readonly code: string } | 'lose-answer' | 'hang' | 'error-in-200' | 'swallow' | 'in-turn';
  /** How many requests it strikes; default all. */
  readonly times?: number;
}

export interface HttpFaultProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** `PUT /bucket/key?partNumber=1` of every request so far. */
  readonly requests: readonly string[];
  readonly struck: number;
  plant(fault: HttpFault): void;
  heal(): void;
  stop(): Promise<void>;
}

const errorBody = (code: string) =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>told to fail</Message></Error>`;

/** Stands before an HTTP server (an S3 one) and answers in its place where told. Passes the Host header on, so that signatures hold. */
export async function startHttpFaultProxy(target: { host: string; port: number }): Promise<HttpFaultProxy> {
  let faults: { fault: HttpFault; left: number }[] = [];
  const requests: string[] = [];
  let struck = 0;
  let turn: Promise<unknown> = Promise.resolve();

  function faultFor(incoming: IncomingMessage): HttpFault | undefined {
    const entry = faults.find(({ fault, left }) => left > 0 && fault.when(incoming));
    if (entry === undefined) return undefined;
    entry.left -= 1;
    struck += 1;
    return entry.fault;
  }

  function forward(incoming: IncomingMessage, onAnswer: (answer: IncomingMessage) => void, outgoing: ServerResponse): void {
    const upstream = request({ ...target, method: incoming.method, path: incoming.url, headers: incoming.headers, agent: false }, onAnswer);
    upstream.on('error', () => outgoing.destroy());
    outgoing.on('close', () => upstream.destroy());
    incoming.pipe(upstream);
  }

  const server = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    const answer = faultFor(incoming)?.answer;
    if (answer === 'hang') return void incoming.resume();
    if (answer === 'swallow') return void incoming.resume().on('end', () => outgoing.writeHead(200, { etag: '"0"' }).end());
    if (answer === 'lose-answer') {
      return forward(incoming, (response) => void response.resume().on('end', () => incoming.socket.resetAndDestroy()), outgoing);
    }
    if (answer === 'error-in-200') {
      const reply = (response: IncomingMessage) =>
        void response
          .resume()
          .on('end', () => outgoing.writeHead(200, { 'content-type': 'application/xml' }).end(errorBody('InternalError')));
      return forward(incoming, reply, outgoing);
    }
    const pass = () =>
      forward(
        incoming,
        (response) => {
          outgoing.writeHead(response.statusCode ?? 502, response.rawHeaders);
          response.on('error', () => outgoing.destroy());
          response.pipe(outgoing);
        },
        outgoing,
      );
    if (answer === 'in-turn') {
      turn = turn.then(() => {
        pass();
        return Promise.race([once(outgoing, 'close'), setTimeout(50)]);
      });
      return;
    }
    if (answer !== undefined) {
      // Read to its end first: answering early and closing looks like a broken connection to the client.
      const body = incoming.method === 'HEAD' ? '' : errorBody(answer.code);
      return void incoming.resume().on('end', () => outgoing.writeHead(answer.status, { 'content-type': 'application/xml' }).end(body));
    }
    return pass();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  const stop = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    requests,
    get struck() {
      return struck;
    },
    plant: (fault) => {
      faults.push({ fault, left: fault.times ?? Number.MAX_SAFE_INTEGER });
    },
    heal: () => {
      faults = [];
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
