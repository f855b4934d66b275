defmodule Sidewinder.Value.Raw do
  @moduledoc "Bytes as they are: iodata goes out, a binary comes back."
  @behaviour Sidewinder.Value

  alias Sidewinder.Value.Bytes

  @impl true
  def content_type, do: "application/octet-stream"

  @impl true
  def encode(%Bytes{data: data}), do: encode(data)
  def encode(nil), do: {:ok, ""}

  def encode(data) when is_binary(data) or is_list(data) do
    _size = IO.iodata_length(data)
    {:ok, data}
  rescue
    ArgumentError -> {:error, "bytes travel as a binary or as iodata, and this is another list"}
  end

  def encode(other), do: {:error, "bytes travel as a binary or as iodata, and this is #{inspect(other, limit: 3)}"}

  @impl true
  def decode(data), do: {:ok, data}
end
