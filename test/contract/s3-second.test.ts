import { describeObjectStore } from './object-store.ts';
import { s3Subject } from './s3-subject.ts';

describeObjectStore('the second S3 server, an ordinary bucket', () => s3Subject('second', 'plain'));
