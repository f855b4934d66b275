defmodule Sidewinder.ErrorTest do
  @moduledoc "From a status to an error, also when the status is none of ours."
  use ExUnit.Case, async: true

  alias Sidewinder.Error
  alias Sidewinder.Proto.Google.Any
  alias Sidewinder.Proto.Google.Rpc.{ErrorInfo, Status}
  alias Sidewinder.Testing.Refusing

  test "what a status says is what the error says" do
    error = %Error{
      reason: :worker_died,
      code: :internal,
      ran: :maybe,
      message: "it died",
      pool: "fast",
      tool: "add",
      worker: "0.3",
      signal: 9,
      exit_status: 1,
      traceback: "one\ntwo",
      detail: "last lines",
      retry_after: 1_500
    }

    assert %{error | metadata: %{}} == %{Error.from_status(Refusing.status(error)) | metadata: %{}}
    refute Error.retry?(error)
    assert Error.retry?(Error.from_status(Refusing.status(%{error | ran: :no})))
    assert Exception.message(error) == "worker_died: it died (fast add 0.3)\none\ntwo\nlast lines"
  end

  test "every reason of the contract has an atom, and no other text gets one" do
    for {word, number} <- Sidewinder.Proto.words("sidewinder.v1.Error.Reason"), number > 0 do
      reason = Error.reason(Atom.to_string(word))
      assert is_atom(reason) and Error.word(reason) == Atom.to_string(word)
    end

    text = "REASON_OF_TOMORROW_#{System.unique_integer([:positive])}"
    assert %Error{reason: ^text, ran: :no} = Error.from_status(status(text, "sidewinder"))
    assert Exception.message(Error.from_status(status(text, "sidewinder"))) =~ text
    assert_raise ArgumentError, fn -> String.to_existing_atom(text) end
  end

  test "a status of somebody else is told by its code" do
    assert %Error{reason: :unavailable, ran: :maybe} = Error.from_status(status("X", "example.com"))
    assert %Error{reason: :unavailable} = Error.from_status(%{code: 14, message: "m", details: "garbage", sent: :maybe})

    assert %Error{reason: :unavailable, ran: :no} =
             Error.from_status(%{code: 14, message: "m", details: nil, sent: :no})

    assert %Error{reason: :unknown} = Error.from_status(%{code: 99, message: "m", details: nil, sent: :maybe})
  end

  defp status(reason, domain) do
    info = %ErrorInfo{reason: reason, domain: domain, metadata: %{"ran" => "no", "exit_status" => "many"}}
    any = %Any{type_url: "type.googleapis.com/google.rpc.ErrorInfo", value: IO.iodata_to_binary(ErrorInfo.encode(info))}
    packed = %Status{code: 14, message: "m", details: [any, %Any{type_url: "other", value: "x"}]}
    %{code: 14, message: "m", details: IO.iodata_to_binary(Status.encode(packed)), sent: :maybe}
  end
end
