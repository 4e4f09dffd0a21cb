//! Headers of a Kafka message. The one place with `unsafe`: the safe reader of the client panics on
//! a header name that is not UTF-8, and whoever may produce chooses the names.
#![allow(unsafe_code, reason = "reads what librdkafka owns, under the borrow of its message")]

use std::{ffi::CStr, ptr, slice};

use rdkafka::{
    bindings::{rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_headers},
    message::BorrowedMessage,
    types::RDKafkaRespErr,
};

/// The headers in order; names that are not UTF-8 are read lossily. A value may be null.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let mut list: *mut rd_kafka_headers_t = ptr::null_mut();
    // SAFETY: the message is valid while it is borrowed; librdkafka keeps the list it hands out as
    // part of the message.
    let status = unsafe { rd_kafka_message_headers(message.ptr(), &mut list) };
    if status != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
        return Vec::new();
    }
    let mut headers = Vec::new();
    loop {
        let mut name = ptr::null();
        let mut value = ptr::null();
        let mut length = 0;
        // SAFETY: `list` is the live list of above; past its end the call only says so. On success
        // `name` is a NUL-terminated string and `value`, if not null, holds `length` bytes; both are
        // part of the message, and copied before this iteration ends.
        let header = unsafe {
            let status =
                rd_kafka_header_get_all(list, headers.len(), &mut name, &mut value, &mut length);
            if status != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return headers;
            }
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let bytes = value.cast::<u8>();
            (name, (!bytes.is_null()).then(|| slice::from_raw_parts(bytes, length).to_vec()))
        };
        headers.push(header);
    }
}
