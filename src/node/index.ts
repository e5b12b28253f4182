/** `tenon/node`: what only Node has. */
import "./platform.js";
