/** All text of the element. Replace any of it for another language. */
export interface PouwStrings {
  /** Name of the progress bar. */
  label: string;
  /** While the device computes. */
  working: string;
  /** While the server's minimum wait is not over. */
  waiting: string;
  /** While the server has no task, before the request is sent again. */
  held: string;
  /** When the server accepted the answer. */
  accepted: string;
  /** When the request failed. */
  failed: string;
  /** Text of the progress bar's value. */
  value: (done: number, total: number) => string;
}

/** The text in English. */
export const english: PouwStrings = {
  label: 'Progress of a small task',
  working: 'This service is busy. Your device is doing a small useful task; you do not have to do anything.',
  waiting: 'The task is done. Your request is sent in a moment.',
  held: 'This service is busy. Your request is sent again automatically.',
  accepted: 'Done. Your request went through.',
  failed: 'That did not work. Please try again in a moment.',
  value: (done, total) => `${done} of ${total} steps`,
};
