/** All text of the element. Replace any of it for another language. */
export interface PouwStrings {
  /** Name of the progress bar. */
  label: string;
  /** While the device computes. */
  working: string;
  /** While the server's minimum wait is not over. */
  waiting: string;
  /** When the wait is over and the answer is on its way. */
  sending: string;
  /** While the work takes longer than it seemed at first. */
  longer: string;
  /** While the server has no task, before the request is sent again. */
  held: string;
  /** When the server accepted the answer. */
  accepted: string;
  /** When the request failed. */
  failed: string;
  /** The time left, in whole seconds from 1 on. */
  left: (seconds: number) => string;
}

/** From this many seconds on, the time left is given in minutes. */
export const MINUTES_FROM = 100;

/** The text in English. */
export const english: PouwStrings = {
  label: 'Progress of a small task',
  working: 'This service is busy. Your device is doing a small useful task; you do not have to do anything.',
  waiting: 'The task is done. This service asks for a short wait.',
  sending: 'The wait is over. Your request is being sent.',
  longer: 'This takes longer than expected.',
  held: 'This service is busy. Your request is sent again automatically.',
  accepted: 'Done. Your request went through.',
  failed: 'That did not work. Please try again in a moment.',
  left: (seconds) => {
    if (seconds >= MINUTES_FROM) return `About ${Math.ceil(seconds / 60)} minutes left.`;
    return seconds === 1 ? 'About 1 second left.' : `About ${seconds} seconds left.`;
  },
};
